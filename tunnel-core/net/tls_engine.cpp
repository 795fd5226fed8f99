#include "tunnel-core/net/tls_engine.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>

#include "tunnel-core/base/assert.hpp"
#include "tunnel-core/net/tls_error.hpp"
#include "tunnel-core/net/tls_verification.hpp"

namespace culvert {
namespace {

/// SSL_get_error() looks at this thread's queue, where anybody may have left something. Peeking is the cheap
/// way.
void forget_old_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

bool is_address_literal(const std::string& name) {
  in6_addr scratch{};
  return ::inet_pton(AF_INET, name.c_str(), &scratch) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), &scratch) == 1;
}

}  // namespace

TlsEngine::TlsEngine(int fd, TlsContext context, TlsLimits limits)
    : context_(std::move(context)), limits_(limits), transport_(fd), ssl_(context_.make_ssl()) {
  TUNNEL_ASSERT(ssl_ != nullptr);
  BIO* bio = transport_.make_bio();
  SSL_set_bio(ssl_.get(), bio, bio);
  if (context_.is_server()) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
  }
  keep_verification_error_in(ssl_.get(), &verification_error_);
  keep_traffic_secrets_in(ssl_.get(), &secrets_);
  SSL_set_msg_callback(ssl_.get(), &TlsEngine::on_message);
  SSL_ctrl(ssl_.get(), SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, this);  // The macro has an old-style cast.
}

TlsEngine::~TlsEngine() = default;

void TlsEngine::set_server_name(const std::string& name) {
  if (is_address_literal(name)) return;
  // The macro SSL_set_tlsext_host_name() without its old-style cast; OpenSSL copies the name.
  SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
           const_cast<char*>(name.c_str()));
}

HandshakeOutcome TlsEngine::handshake() {
  if (read_error_) return HandshakeOutcome::Failed;
  if (!handshake_done_) {
    forget_old_errors();
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1) {
      const int reason = SSL_get_error(ssl_.get(), result);
      const FlushOutcome flushed = transport_.flush();  // Our alert too, when we refused the peer.
      if (reason == SSL_ERROR_WANT_READ) {
        return flushed == FlushOutcome::WouldBlock ? HandshakeOutcome::WaitWritable
                                                   : HandshakeOutcome::WaitReadable;
      }
      fail("TLS handshake");
      return HandshakeOutcome::Failed;
    }
    handshake_done_ = true;
    peer_certificate_.reset(SSL_get1_peer_certificate(ssl_.get()));
    if (auto agreed = check_agreement(); !agreed) {
      read_error_ = std::move(agreed).error();
      return HandshakeOutcome::Failed;
    }
    if (selected_alpn() == kTunnelAlpn) become_lane();
    keep_traffic_secrets_in(ssl_.get(), nullptr);
    secrets_ = {};
  }
  switch (transport_.flush()) {
    case FlushOutcome::Done:
      return HandshakeOutcome::Done;
    case FlushOutcome::WouldBlock:
      return HandshakeOutcome::WaitWritable;
    case FlushOutcome::Failed:
      break;
  }
  return HandshakeOutcome::Failed;
}

/// What must be true of a finished handshake, whatever the callbacks did.
Result<void> TlsEngine::check_agreement() const {
  const bool tunnel = selected_alpn() == kTunnelAlpn;
  if (context_.requires_tunnel_alpn() && !tunnel) {
    return Error{
        Errc::TlsFailed,
        "TLS handshake failed: the peer does not speak culvert/1; is something between that ends TLS?"};
  }
  if (tunnel && (peer_certificate_ == nullptr || SSL_get_verify_result(ssl_.get()) != X509_V_OK)) {
    return Error{Errc::TlsUntrusted, "TLS handshake failed: a lane without a verified certificate"};
  }
  return {};
}

void TlsEngine::become_lane() {
  use_bulk_buffers();
  records_ = TlsRecords::take_over(ssl_.get(), secrets_, transport_, limits_, counters_);
  if (records_) SSL_free_buffers(ssl_.get());
}

ReadOutcome TlsEngine::read_some(MutableByteSpan out) {
  TUNNEL_ASSERT(!out.empty());
  if (read_error_) return {ReadOutcome::Kind::Failed};
  if (peer_closed_) return {ReadOutcome::Kind::Closed};
  forget_old_errors();
  const ReadOutcome outcome = records_ ? records_->read_some(out) : read_by_libssl(out);
  if (outcome.kind == ReadOutcome::Kind::Closed) peer_closed_ = true;
  if (outcome.kind == ReadOutcome::Kind::Failed) fail("TLS read");
  return outcome;
}

ReadOutcome TlsEngine::read_by_libssl(MutableByteSpan out) {
  std::size_t n = 0;
  const int result = SSL_read_ex(ssl_.get(), out.data(), out.size(), &n);
  if (result == 1) return {ReadOutcome::Kind::Data, n};
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {ReadOutcome::Kind::WouldBlock};
    case SSL_ERROR_ZERO_RETURN:
      return {ReadOutcome::Kind::Closed};
    default:
      return {ReadOutcome::Kind::Failed};
  }
}

// Not SSL_has_pending(): that is also true of half a record, on which a reader would spin. OpenSSL never
// holds more than one record here, so more input is either processed (SSL_pending) or still in our buffer.
bool TlsEngine::wants_read_now() const {
  if (records_) return records_->wants_read_now();
  return transport_.unread() != 0 || SSL_pending(ssl_.get()) != 0;
}

bool TlsEngine::is_drained() const {
  return records_ && transport_.took_little() && !records_->wants_read_now();
}

Result<void> TlsEngine::seal(ByteSpan plaintext) {
  TUNNEL_ASSERT(!plaintext.empty() && plaintext.size() <= kMaxRecordPlaintext && handshake_done_);
  if (read_error_ || transport_.write_errno() != 0) return last_error();
  if (close_sealed_) return Error{Errc::TlsFailed, "TLS write failed: this end has closed the connection"};
  forget_old_errors();
  if (records_ ? records_->seal(plaintext) : seal_by_libssl(plaintext)) return {};
  fail("TLS write");
  return last_error();
}

bool TlsEngine::seal_by_libssl(ByteSpan plaintext) {
  update_key_when_due();
  std::size_t written = 0;
  if (SSL_write_ex(ssl_.get(), plaintext.data(), plaintext.size(), &written) != 1) return false;
  ++records_with_key_;
  return true;
}

/// OpenSSL only marks the update as due; its message and the new key take effect inside the next SSL_write.
void TlsEngine::update_key_when_due() {
  if (records_with_key_ < limits_.records_per_key) return;
  if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
    return;  // Tried again with the next record.
  records_with_key_ = 0;
  ++counters_.key_updates_sent;
}

FlushOutcome TlsEngine::flush() {
  return transport_.flush();
}

void TlsEngine::seal_close() {
  // After a fatal error OpenSSL must not be asked to shut down.
  if (!handshake_done_ || close_sealed_ || read_error_) return;
  close_sealed_ = true;
  forget_old_errors();
  if (records_) return records_->seal_close();
  if (SSL_shutdown(ssl_.get()) < 0) forget_old_errors();
}

void TlsEngine::on_message(int written, int, int content_type, const void*, std::size_t, SSL*, void* engine) {
  if (written == 0) static_cast<TlsEngine*>(engine)->count_message(content_type);
}

/// Key updates are cheap to send and dear to take (two HKDF and a key schedule each), so a peer gets few of
/// them.
void TlsEngine::count_message(int content_type) {
  if (content_type == SSL3_RT_HEADER) ++counters_.records_received;
  if (content_type != SSL3_RT_HANDSHAKE || !handshake_done_) return;
  ++counters_.peer_messages;
  // Ends SSL_read's own loop, which would take all of them.
  if (counters_.flooded(limits_)) transport_.refuse_input();
}

void TlsEngine::fail(std::string_view doing) {
  if (verification_error_) {
    read_error_ = *verification_error_;
    ERR_clear_error();
  } else if (counters_.flooded(limits_)) {
    read_error_ = Error{Errc::TlsFailed, "TLS read failed: the peer sends too many key updates"};
    ERR_clear_error();
  } else {
    read_error_ = describe_tls_failure({.doing = doing,
                                        .end_of_stream = transport_.end_of_stream(),
                                        .system_errno = transport_.read_errno(),
                                        .first_bytes = handshake_done_ ? "" : transport_.first_bytes()});
  }
}

Error TlsEngine::last_error() const {
  if (read_error_) return *read_error_;
  if (transport_.write_errno() != 0) return describe_socket_failure("TLS write", transport_.write_errno());
  return {Errc::TlsFailed, "the TLS connection has not failed"};
}

std::array<std::byte, 32> TlsEngine::exporter(std::string_view label) const {
  TUNNEL_ASSERT(handshake_done_);
  std::array<std::byte, 32> secret{};
  const int done = SSL_export_keying_material(ssl_.get(), reinterpret_cast<unsigned char*>(secret.data()),
                                              secret.size(), label.data(), label.size(), nullptr, 0, 0);
  TUNNEL_ASSERT(done == 1);
  return secret;
}

std::string_view TlsEngine::selected_alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

X509* TlsEngine::peer_certificate() const {
  return peer_certificate_.get();
}

void TlsEngine::use_bulk_buffers() {
  transport_.set_read_ahead(kLaneReadAhead);
  SSL_clear_mode(ssl_.get(), SSL_MODE_RELEASE_BUFFERS);
}

void TlsEngine::release_idle_memory() {
  transport_.release_idle_memory();
  if (records_) return;
  // Not while OpenSSL still holds bytes of a record: older 3.0 freed them (CVE-2024-4741).
  if (SSL_has_pending(ssl_.get()) == 0) SSL_free_buffers(ssl_.get());
}

}  // namespace culvert
