#include "bench/relay_tls.hpp"

#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "certs/authority.hpp"

namespace culvert::bench {
namespace {

constexpr std::size_t kRecord = 16384;
/// 256 KiB of plaintext with what TLS adds to each record, and the alert that ends the connection.
constexpr std::size_t kOutput = kBlock + 2 * kRecord;

template <class T>
T need(Result<T> result) {
  if (!result) fail(1, result.error().to_string());
  return std::move(result).value();
}

BioPtr memory_bio(std::string_view text) {
  return BioPtr{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

void use_identity(SSL_CTX* context) {
  const auto now = certs::utc_now();
  const auto root = need(certs::Authority::create_root("bench", now));
  const auto issuer = need(certs::Authority::create_issuing(root, certs::Purpose::Server, now));
  const auto key = need(certs::PrivateKey::generate());
  const std::string name = "localhost";
  const auto leaf = need(issuer.issue_server({&name, 1}, key.public_key(), now));
  const std::string chain_pem = certs::chain_to_pem(issuer.chain_below(leaf));
  const std::string key_pem{key.to_pem().view()};
  const BioPtr chain_bio = memory_bio(chain_pem);
  const BioPtr key_bio = memory_bio(key_pem);
  const X509Ptr certificate{PEM_read_bio_X509(chain_bio.get(), nullptr, nullptr, nullptr)};
  const X509Ptr issued_by{PEM_read_bio_X509(chain_bio.get(), nullptr, nullptr, nullptr)};
  const PkeyPtr private_key{PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr)};
  if (!certificate || !issued_by || !private_key ||
      SSL_CTX_use_certificate(context, certificate.get()) != 1 ||
      SSL_CTX_add1_chain_cert(context, issued_by.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context, private_key.get()) != 1) {
    fail(1, "the relay cannot use the identity it made");
  }
}

}  // namespace

SslContextPtr make_relay_context(bool is_server) {
  SslContextPtr context{SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method())};
  SSL_CTX* raw = context.get();
  if (raw == nullptr || SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256") != 1 ||
      SSL_CTX_set1_groups_list(raw, "X25519") != 1 || SSL_CTX_set_num_tickets(raw, 0) != 1) {
    fail(1, "this OpenSSL has no TLS 1.3 with AES-128-GCM");
  }
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(raw, SSL_VERIFY_NONE, nullptr);
  if (is_server) use_identity(raw);
  return context;
}

/// Between libssl and the two buffers.
struct RelayBio {
  static TlsSide& of(BIO* bio) { return *static_cast<TlsSide*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* out, int size) {
    BIO_clear_retry_flags(bio);
    TlsSide& side = of(bio);
    if (side.input_head_ == side.input_tail_) {
      const ssize_t n = ::recv(side.fd_, side.input_.get(), kBlock, MSG_DONTWAIT);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
      if (n <= 0) return n == 0 ? 0 : -1;
      side.input_head_ = 0;
      side.input_tail_ = static_cast<std::size_t>(n);
    }
    const std::size_t n = std::min(static_cast<std::size_t>(size), side.input_tail_ - side.input_head_);
    std::memcpy(out, side.input_.get() + side.input_head_, n);
    side.input_head_ += n;
    return static_cast<int>(n);
  }

  static int write(BIO* bio, const char* bytes, int size) {
    BIO_clear_retry_flags(bio);
    TlsSide& side = of(bio);
    const auto n = static_cast<std::size_t>(size);
    if (kOutput - side.output_tail_ < n) return -1;
    std::memcpy(side.output_.get() + side.output_tail_, bytes, n);
    side.output_tail_ += n;
    return size;
  }

  static long control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;  // Flushing is flush()'s, once for many records.
  }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bare relay");
      BIO_meth_set_read(method, read);
      BIO_meth_set_write(method, write);
      BIO_meth_set_ctrl(method, control);
      return method;
    }();
    return made;
  }
};

TlsSide::TlsSide(int fd, SSL_CTX* context, bool is_server)
    : fd_(fd),
      ssl_(SSL_new(context)),
      input_(std::make_unique_for_overwrite<std::byte[]>(kBlock)),
      output_(std::make_unique_for_overwrite<std::byte[]>(kOutput)) {
  BIO* bio = BIO_new(RelayBio::method());
  if (!ssl_ || bio == nullptr) fail(1, "out of memory for TLS");
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  if (is_server) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
  }
}

bool TlsSide::handshake() {
  for (;;) {
    const int result = SSL_do_handshake(ssl_.get());
    const int reason = SSL_get_error(ssl_.get(), result);
    while (unsent()) {
      if (!flush()) return false;
      if (!unsent()) break;
      pollfd writable{fd_, POLLOUT, 0};
      ::poll(&writable, 1, -1);
    }
    if (result == 1) return true;
    if (reason != SSL_ERROR_WANT_READ) return false;
    pollfd readable{fd_, POLLIN, 0};
    ::poll(&readable, 1, -1);
  }
}

TlsSide::Outcome TlsSide::read_record(MutableByteSpan out, std::size_t& n) {
  const int result = SSL_read_ex(ssl_.get(), out.data(), out.size(), &n);
  waits_for_input_ = result != 1;
  if (result == 1) return Outcome::Data;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Outcome::WouldBlock;
    case SSL_ERROR_ZERO_RETURN:
      return Outcome::Closed;
    default:
      return Outcome::Failed;
  }
}

bool TlsSide::seal(ByteSpan plaintext) {
  std::size_t written = 0;  // libssl cuts it into full records by itself.
  return SSL_write_ex(ssl_.get(), plaintext.data(), plaintext.size(), &written) == 1;
}

bool TlsSide::flush() {
  if (!unsent()) return true;
  const std::size_t size = output_tail_ - output_head_;
  const ssize_t n = ::send(fd_, output_.get() + output_head_, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0) output_head_ += static_cast<std::size_t>(n);
  if (!unsent()) output_head_ = output_tail_ = 0;
  return n >= 0 || errno == EAGAIN || errno == EINTR;
}

}  // namespace culvert::bench
