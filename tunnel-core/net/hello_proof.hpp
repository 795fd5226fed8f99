// The proof in HELLO: it binds a lane to its session and to this very TLS connection (docs/protocol.md §4).
#pragma once

#include "tunnel-core/mux/session_config.hpp"
#include "tunnel-core/net/tls_engine.hpp"
#include "tunnel-core/wire/hello.hpp"

namespace culvert {

/// @param prover  whose HELLO it is.
Proof hello_proof(ByteSpan session_secret, Role prover, const TlsEngine& tls, SessionId session,
                  std::uint32_t epoch, LaneId lane);

/// In constant time.
bool proofs_equal(const Proof& a, const Proof& b);

}  // namespace culvert
