// A site's identity without a client certificate: its key signs what only the two ends of one TLS connection
// know, so the proof is worth nothing on any other connection (docs/protocol.md §3.5).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "certs/certificate.hpp"
#include "certs/private_key.hpp"

namespace culvert::certs {

/// The label under which both ends derive the 32 bytes that are signed (RFC 8446 §7.5, empty context).
inline constexpr std::string_view kSiteProofExporter = "EXPORTER-culvert-site-proof";
inline constexpr std::string_view kSiteProofHeader = "Culvert-Site-Proof";
constexpr std::size_t kMaxSiteProofSize = 6 * 1024;  ///< About 1,300 with a leaf and one issuing CA.

/// The header's value: base64url of the signature, then of each certificate, separated by dots.
/// @param chain  leaf first, its key is `key`.
std::string make_site_proof(const PrivateKey& key, std::span<const Certificate> chain, ByteSpan exporter);

/// Checks that the holder of the leaf's key signed this connection.
/// @return the chain, leaf first. Whether it is believed is for verify_site(), whether it may come in for the
///         store.
/// @error Unauthorized: not a proof, or not of this connection.
Result<std::vector<Certificate>> open_site_proof(std::string_view value, ByteSpan exporter);

}  // namespace culvert::certs
