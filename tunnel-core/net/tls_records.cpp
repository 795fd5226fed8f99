#include "tunnel-core/net/tls_records.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>

#include "tunnel-core/base/assert.hpp"

namespace culvert {
namespace {

constexpr std::size_t kMostSealed = kMaxRecordPlaintext + 1 + kRecordTag;
constexpr std::size_t kMostMessage = 32 * 1024;
constexpr std::size_t kMessageHeader = 4;
constexpr unsigned kMostEmptyRecords = 32;  ///< As libssl: more is somebody who wants our time.
constexpr std::byte kWarning{1};
constexpr std::byte kFatal{2};

int secrets_slot_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

unsigned hex_digit(char c) {
  return static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/// The last word of a line of the key log, in hexadecimal.
TrafficSecret secret_of(std::string_view line) {
  const std::string_view hex = line.substr(line.rfind(' ') + 1);
  std::array<std::byte, 48> bytes{};
  const std::size_t size = std::min(hex.size() / 2, bytes.size());
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
  }
  TrafficSecret secret{ByteSpan{bytes.data(), size}};
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return secret;
}

std::size_t length_of(ByteSpan header) {
  return std::to_integer<std::size_t>(header[3]) << 8 | std::to_integer<std::size_t>(header[4]);
}

}  // namespace

void note_traffic_secret(const SSL* ssl, const char* line) {
  auto* const secrets = static_cast<TrafficSecrets*>(SSL_get_ex_data(ssl, secrets_slot_index()));
  if (secrets == nullptr) return;
  const std::string_view text{line};
  if (text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) secrets->client = secret_of(text);
  if (text.starts_with("SERVER_TRAFFIC_SECRET_0 ")) secrets->server = secret_of(text);
}

void keep_traffic_secrets_in(SSL* ssl, TrafficSecrets* slot) {
  const int done = SSL_set_ex_data(ssl, secrets_slot_index(), slot);
  TUNNEL_ASSERT(done == 1);
}

std::unique_ptr<TlsRecords> TlsRecords::take_over(SSL* ssl, const TrafficSecrets& secrets,
                                                  TlsTransport& transport, const TlsLimits& limits,
                                                  TlsCounters& counters) {
  if (SSL_has_pending(ssl) != 0) return nullptr;
  const bool is_client = SSL_is_server(ssl) == 0;
  const auto suite = static_cast<std::uint16_t>(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)));
  auto write = TrafficKey::create(TrafficKey::Use::Seal, suite, is_client ? secrets.client : secrets.server);
  auto read = TrafficKey::create(TrafficKey::Use::Open, suite, is_client ? secrets.server : secrets.client);
  if (!write || !read) return nullptr;
  return std::make_unique<TlsRecords>(std::move(*write), std::move(*read), is_client, transport, limits,
                                      counters);
}

TlsRecords::TlsRecords(TrafficKey write, TrafficKey read, bool is_client, TlsTransport& transport,
                       const TlsLimits& limits, TlsCounters& counters)
    : write_(std::move(write)),
      read_(std::move(read)),
      is_client_(is_client),
      transport_(transport),
      limits_(limits),
      counters_(counters) {}

bool TlsRecords::wants_read_now() const {
  if (!rest_.empty()) return true;
  const ByteSpan input = std::as_const(transport_).input();
  return input.size() >= kRecordHeader && input.size() >= kRecordHeader + length_of(input);
}

ReadOutcome TlsRecords::read_some(MutableByteSpan out) {
  if (!rest_.empty()) return serve_rest(out);
  for (;;) {
    const ByteSpan input = transport_.input();
    if (input.size() >= kRecordHeader) {
      const std::size_t length = length_of(input);
      if (input[0] != static_cast<std::byte>(RecordType::ApplicationData)) {
        return refuse(SSL_R_BAD_RECORD_TYPE, SSL_AD_UNEXPECTED_MESSAGE);
      }
      if (length > kMostSealed) return refuse(SSL_R_PACKET_LENGTH_TOO_LONG, SSL_AD_RECORD_OVERFLOW);
      if (length < 1 + kRecordTag) return refuse(SSL_R_RECORD_LENGTH_MISMATCH, SSL_AD_DECODE_ERROR);
      if (input.size() >= kRecordHeader + length) {
        if (const auto outcome = open_record(kRecordHeader + length, out)) return *outcome;
        continue;
      }
    }
    switch (transport_.receive_more()) {
      case ReceiveOutcome::Received:
        break;
      case ReceiveOutcome::WouldBlock:
        return {ReadOutcome::Kind::WouldBlock};
      case ReceiveOutcome::Failed:
        return {ReadOutcome::Kind::Failed};
    }
  }
}

/// The first record of the input. Nothing: it was not for the caller, the next one may be.
std::optional<ReadOutcome> TlsRecords::open_record(std::size_t size, MutableByteSpan out) {
  const MutableByteSpan record = transport_.input().first(size);
  // Into the caller's buffer where it fits for certain; else in place, to be served piece by piece.
  const bool fits = out.size() >= size - kRecordOverhead;
  std::byte* const content = fits ? out.data() : record.data() + kRecordHeader;
  const auto opened = read_.open(record, content);
  if (!opened) return refuse(SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, SSL_AD_BAD_RECORD_MAC);
  ++counters_.records_received;
  if (opened->type == RecordType::ApplicationData && opened->size != 0) {
    empty_records_ = 0;
    if (!fits) {
      rest_ = {content, opened->size};
      rest_record_ = size;
      return serve_rest(out);
    }
    transport_.take(size);
    return ReadOutcome{ReadOutcome::Kind::Data, opened->size};
  }
  transport_.take(size);
  switch (opened->type) {
    case RecordType::ApplicationData:
      if (++empty_records_ <= kMostEmptyRecords) return std::nullopt;
      return refuse(SSL_R_RECORD_TOO_SMALL, SSL_AD_UNEXPECTED_MESSAGE);
    case RecordType::Alert:
      return take_alert({content, opened->size});
    case RecordType::Handshake:
      return take_handshake({content, opened->size});
    case RecordType::Padding:
      break;
  }
  return refuse(SSL_R_UNEXPECTED_MESSAGE, SSL_AD_UNEXPECTED_MESSAGE);
}

ReadOutcome TlsRecords::serve_rest(MutableByteSpan out) {
  const std::size_t n = std::min(out.size(), rest_.size());
  std::ranges::copy(rest_.first(n), out.begin());
  rest_ = rest_.subspan(n);
  if (rest_.empty()) transport_.take(rest_record_);
  return {ReadOutcome::Kind::Data, n};
}

/// The level is history: every alert but these two ends the connection (RFC 8446 §6).
std::optional<ReadOutcome> TlsRecords::take_alert(ByteSpan content) {
  if (content.size() != 2) return refuse(SSL_R_BAD_LENGTH, SSL_AD_DECODE_ERROR);
  const int alert = std::to_integer<int>(content[1]);
  if (alert == SSL_AD_CLOSE_NOTIFY) return ReadOutcome{ReadOutcome::Kind::Closed};
  if (alert == SSL_AD_USER_CANCELLED) {
    ++counters_.peer_messages;
    if (counters_.flooded(limits_)) return ReadOutcome{ReadOutcome::Kind::Failed};
    return std::nullopt;
  }
  ERR_raise(ERR_LIB_SSL, SSL_AD_REASON_OFFSET + alert);
  return ReadOutcome{ReadOutcome::Kind::Failed};
}

std::optional<ReadOutcome> TlsRecords::take_handshake(ByteSpan content) {
  if (content.empty()) return refuse(SSL_R_UNEXPECTED_MESSAGE, SSL_AD_UNEXPECTED_MESSAGE);
  messages_.insert(messages_.end(), content.begin(), content.end());
  ByteSpan left{messages_};
  while (left.size() >= kMessageHeader) {
    const std::size_t size = std::to_integer<std::size_t>(left[1]) << 16 |
                             std::to_integer<std::size_t>(left[2]) << 8 |
                             std::to_integer<std::size_t>(left[3]);
    if (size > kMostMessage) return refuse(SSL_R_EXCESSIVE_MESSAGE_SIZE, SSL_AD_ILLEGAL_PARAMETER);
    if (left.size() < kMessageHeader + size) break;
    ++counters_.peer_messages;
    if (counters_.flooded(limits_)) return ReadOutcome{ReadOutcome::Kind::Failed};
    const ByteSpan body = left.subspan(kMessageHeader, size);
    const auto type = std::to_integer<std::uint8_t>(left[0]);
    left = left.subspan(kMessageHeader + size);
    if (!take_message(type, body, left.empty())) {
      return refuse(SSL_R_UNEXPECTED_MESSAGE, SSL_AD_UNEXPECTED_MESSAGE);
    }
  }
  messages_.erase(messages_.begin(), messages_.end() - static_cast<std::ptrdiff_t>(left.size()));
  return std::nullopt;
}

/// @param last  nothing follows in its record: what follows a key update is sealed with the next key.
bool TlsRecords::take_message(std::uint8_t type, ByteSpan body, bool last) {
  if (type == SSL3_MT_NEWSESSION_TICKET) return is_client_;  // Nobody resumes TLS sessions here.
  if (type != SSL3_MT_KEY_UPDATE || body.size() != 1 || !last) return false;
  const int request = std::to_integer<int>(body[0]);
  if (request != SSL_KEY_UPDATE_NOT_REQUESTED && request != SSL_KEY_UPDATE_REQUESTED) return false;
  if (request == SSL_KEY_UPDATE_REQUESTED) update_asked_ = true;
  return read_.update();
}

/// Tells the peer why, as far as the kernel takes it, and the engine by OpenSSL's error queue.
ReadOutcome TlsRecords::refuse(int reason, std::uint8_t alert) {
  const std::byte content[] = {kFatal, std::byte{alert}};
  seal_record(RecordType::Alert, content);
  ERR_clear_error();
  ERR_raise(ERR_LIB_SSL, reason);
  return {ReadOutcome::Kind::Failed};
}

bool TlsRecords::seal(ByteSpan content) {
  const bool due = update_asked_ || write_.records() >= limits_.records_per_key;
  if (due && !update_write_key()) return false;
  return seal_record(RecordType::ApplicationData, content);
}

bool TlsRecords::update_write_key() {
  const std::byte message[] = {
      std::byte{SSL3_MT_KEY_UPDATE}, {}, {}, std::byte{1}, std::byte{SSL_KEY_UPDATE_NOT_REQUESTED}};
  if (!seal_record(RecordType::Handshake, message) || !write_.update()) return false;
  update_asked_ = false;
  ++counters_.key_updates_sent;
  return true;
}

void TlsRecords::seal_close() {
  const std::byte content[] = {kWarning, std::byte{SSL_AD_CLOSE_NOTIFY}};
  seal_record(RecordType::Alert, content);
}

bool TlsRecords::seal_record(RecordType type, ByteSpan content) {
  const std::size_t size = content.size() + kRecordOverhead;
  if (!write_.seal(type, content, transport_.prepare_output(size))) return false;
  transport_.commit_output(size);
  return true;
}

}  // namespace culvert
