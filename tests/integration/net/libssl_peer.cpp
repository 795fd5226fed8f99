#include "tests/integration/net/libssl_peer.hpp"

#include <openssl/pem.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "tests/integration/net/test_identities.hpp"

namespace culvert::test {
namespace {

BioPtr memory_bio(const std::string& text) {
  return BioPtr{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

SslContextPtr site_context(const LibsslPeer::Options& options) {
  SslContextPtr context{SSL_CTX_new(TLS_client_method())};
  const Identity& site = identities().site;
  const BioPtr chain = memory_bio(site.chain_pem);
  const X509Ptr leaf{PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)};
  REQUIRE(SSL_CTX_use_certificate(context.get(), leaf.get()) == 1);
  while (X509* const issuer = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    REQUIRE(SSL_CTX_add0_chain_cert(context.get(), issuer) == 1);
  }
  const BioPtr key_text = memory_bio(site.key_pem);
  const PkeyPtr key{PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr)};
  REQUIRE(SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1);
  REQUIRE(SSL_CTX_set_ciphersuites(context.get(), options.suite) == 1);
  REQUIRE(SSL_CTX_set_block_padding(context.get(), options.padding) == 1);
  static constexpr unsigned char kOffer[] =
      "\x09"
      "culvert/1";
  REQUIRE(SSL_CTX_set_alpn_protos(context.get(), kOffer, sizeof kOffer - 1) == 0);
  SSL_CTX_set_keylog_callback(context.get(), note_traffic_secret);
  return context;
}

}  // namespace

LibsslPeer::LibsslPeer(const Options& options)
    : context_(site_context(options)),
      ssl_(SSL_new(context_.get())),
      engine(pair_.ours.value(), server_context(), options.limits) {
  REQUIRE(SSL_set_fd(ssl_.get(), pair_.wire.value()) == 1);
  keep_traffic_secrets_in(ssl_.get(), &secrets_);
}

void LibsslPeer::handshake() {
  int client = 0;
  HandshakeOutcome server{};
  for (int step = 0; step < 20 && (client != 1 || server != HandshakeOutcome::Done); ++step) {
    if (client != 1) client = SSL_connect(ssl_.get());
    server = engine.handshake();
    REQUIRE(server != HandshakeOutcome::Failed);
  }
  REQUIRE(client == 1);
  REQUIRE(server == HandshakeOutcome::Done);
}

void LibsslPeer::write(ByteSpan bytes) {
  REQUIRE(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) ==
          static_cast<int>(bytes.size()));
}

Bytes LibsslPeer::read() {
  Bytes all;
  Bytes piece(kMaxRecordPlaintext);
  for (;;) {
    std::size_t n = 0;
    if (SSL_read_ex(ssl_.get(), piece.data(), piece.size(), &n) != 1) return all;
    all.insert(all.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(n));
  }
}

Bytes LibsslPeer::forge(RecordType type, ByteSpan content) {
  if (!forging_key_) {
    const auto suite =
        static_cast<std::uint16_t>(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl_.get())));
    forging_key_ = TrafficKey::create(TrafficKey::Use::Seal, suite, secrets_.client);
    REQUIRE(forging_key_);
  }
  Bytes record(content.size() + kRecordOverhead);
  REQUIRE(forging_key_->seal(type, content, record.data()));
  return record;
}

void LibsslPeer::send_raw(ByteSpan bytes) {
  REQUIRE(::send(pair_.wire.value(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size()));
}

}  // namespace culvert::test
