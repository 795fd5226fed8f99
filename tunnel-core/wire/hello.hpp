// HELLO, the content of the Culvert-Hello header (docs/protocol.md §4). The proof is computed in
// tunnel-core/net.
#pragma once

#include <array>
#include <cstdint>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert {

constexpr std::uint8_t kProtocolVersion = 1;
using Proof = std::array<std::byte, 32>;

struct Hello {
  std::uint8_t version = kProtocolVersion;
  std::uint32_t epoch = 0;
  LaneId lane{};
  ByteCount replay_memory{};  ///< What the sender of this HELLO can keep for replay in this session.
  Proof proof{};
};

Bytes encode_hello(const Hello& hello);

/// @error FrameMalformed: cut off, epoch or lane 0, or a broken TLV list. The version is left to the caller.
Result<Hello> decode_hello(ByteSpan bytes);

/// The bytes that the proof covers behind its label and the exporter: session, epoch, lane.
Bytes proof_subject(SessionId session, std::uint32_t epoch, LaneId lane);

}  // namespace culvert
