#include "tunnel-core/net/hello_proof.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace culvert {

Proof hello_proof(ByteSpan session_secret, Role prover, const TlsEngine& tls, SessionId session,
                  std::uint32_t epoch, LaneId lane) {
  const std::string_view label = prover == Role::Agent ? "culvert/1 agent" : "culvert/1 gateway";
  const auto exporter = tls.exporter("EXPORTER-culvert-lane");
  const Bytes subject = proof_subject(session, epoch, lane);
  Bytes message;
  const auto append = [&message](ByteSpan part) { message.insert(message.end(), part.begin(), part.end()); };
  append(as_bytes(label));
  append(exporter);
  append(subject);

  Proof proof{};
  unsigned size = 0;
  const auto* const done = HMAC(EVP_sha256(), session_secret.data(), static_cast<int>(session_secret.size()),
                                reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                                reinterpret_cast<unsigned char*>(proof.data()), &size);
  TUNNEL_ASSERT(done != nullptr && size == proof.size());
  return proof;
}

bool proofs_equal(const Proof& a, const Proof& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace culvert
