// A peer that has the keys and seals whatever it likes: records of any type and content, cut anywhere, whole
// ones and broken ones. What is read are the contents of its application data, in order, or a failure.
// Input: steps of four bytes (type, length of the content as two bytes, size of our buffer), each followed by
// the content. Length 0xFFFF: 40 bytes that are no sealed record.
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tunnel-core/base/assert.hpp"
#include "tunnel-core/net/tls_records.hpp"

namespace culvert {
namespace {

constexpr std::uint16_t kSuite = 0x1301;

TrafficSecret secret(std::uint8_t fill) {
  std::array<std::byte, 32> bytes{};
  bytes.fill(std::byte{fill});
  return TrafficSecret{bytes};
}

class Peer {
 public:
  Peer() {
    const int made = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds_.data());
    TUNNEL_ASSERT(made == 0);
  }
  ~Peer() {
    for (const int fd : fds_) ::close(fd);
  }
  int ours() const { return fds_[0]; }

  void send_record(std::uint8_t type, ByteSpan content) {
    Bytes record(content.size() + kRecordOverhead);
    TUNNEL_ASSERT(key_->seal(static_cast<RecordType>(type), content, record.data()));
    send(record);
  }
  void send(ByteSpan bytes) {
    const ssize_t n = ::send(fds_[1], bytes.data(), bytes.size(), MSG_NOSIGNAL);
    TUNNEL_ASSERT(n == static_cast<ssize_t>(bytes.size()));
  }
  void update_key() { TUNNEL_ASSERT(key_->update()); }

 private:
  std::array<int, 2> fds_{};
  std::optional<TrafficKey> key_ = TrafficKey::create(TrafficKey::Use::Seal, kSuite, secret(2));
};

class Reader {
 public:
  explicit Reader(int fd) : transport_(fd) { transport_.set_read_ahead(64 * 1024); }

  /// Everything there is, in pieces of `size`. False after a failure or the end.
  bool read(std::size_t size) {
    Bytes out(size);
    for (;;) {
      const ReadOutcome outcome = records_.read_some(out);
      ERR_clear_error();
      if (outcome.kind == ReadOutcome::Kind::WouldBlock) return true;
      if (outcome.kind != ReadOutcome::Kind::Data) return false;
      TUNNEL_ASSERT(outcome.n > 0 && outcome.n <= size);
      arrived.insert(arrived.end(), out.begin(), out.begin() + static_cast<std::ptrdiff_t>(outcome.n));
    }
  }

  Bytes arrived;

 private:
  TlsTransport transport_;
  TlsCounters counters_;
  TlsRecords records_{*TrafficKey::create(TrafficKey::Use::Seal, kSuite, secret(1)),
                      *TrafficKey::create(TrafficKey::Use::Open, kSuite, secret(2)),
                      false,
                      transport_,
                      {},
                      counters_};
};

/// What a record says, with its padding understood: type 0 only means that the type is further in front.
struct Said {
  RecordType type;
  ByteSpan content;
};

Said understood(std::uint8_t type, ByteSpan content) {
  while (type == 0 && !content.empty()) {
    type = std::to_integer<std::uint8_t>(content.back());
    content = content.first(content.size() - 1);
  }
  return {static_cast<RecordType>(type), content};
}

bool is_key_update(const Said& said) {
  constexpr std::array kUpdate{std::byte{24}, std::byte{0}, std::byte{0}, std::byte{1}};
  return said.type == RecordType::Handshake && said.content.size() == 5 &&
         std::equal(kUpdate.begin(), kUpdate.end(), said.content.begin());
}

}  // namespace
}  // namespace culvert

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace culvert;
  Peer peer;
  Reader reader{peer.ours()};
  Bytes expected;
  ByteSpan input = std::as_bytes(std::span{data, size});
  while (input.size() >= 4) {
    const auto type = std::to_integer<std::uint8_t>(input[0]);
    std::size_t length = std::to_integer<std::size_t>(input[1]) << 8 | std::to_integer<std::size_t>(input[2]);
    const std::size_t buffer = std::to_integer<std::size_t>(input[3]) * 65 + 1;
    input = input.subspan(4);
    const bool broken = length == 0xFFFF;
    length = std::min({length, input.size(), kMaxRecordPlaintext});
    const ByteSpan content = input.first(length);
    input = input.subspan(length);
    const Said said = understood(type, content);
    if (broken) {
      const Bytes rubbish(40, std::byte{type});
      peer.send(rubbish);
    } else {
      peer.send_record(type, content);
      if (said.type == RecordType::ApplicationData) {
        expected.insert(expected.end(), said.content.begin(), said.content.end());
      }
    }
    if (!reader.read(buffer)) break;
    if (!broken && is_key_update(said)) peer.update_key();
  }
  // The last record may have been refused; nothing else may ever be read.
  TUNNEL_ASSERT(reader.arrived.size() <= expected.size());
  TUNNEL_ASSERT(std::equal(reader.arrived.begin(), reader.arrived.end(), expected.begin()));
  return 0;
}
