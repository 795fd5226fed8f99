// The knobs of one session, each with unit, default and what it costs.
#pragma once

#include "tunnel-core/base/limits.hpp"
#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert {

enum class Role : std::uint8_t { Agent = 0, Gateway = 1 };  ///< The value is the low bit of the ids it opens.

struct SessionConfig {
  Role role = Role::Agent;
  ByteCount memory = 64_MiB;           ///< Ceiling of replay and receive memory together, at least 1 MiB.
  std::size_t streams = 20000;         ///< Open at once, both directions of opening together.
  Duration resume_deadline = 10min;    ///< Without a lane for this long, the session ends.
  Duration first_lane_deadline = 30s;  ///< A session that never had a lane ends after this.
  Duration open_timeout = 30s;         ///< From open_stream() to the peer's answer.
  std::size_t read_ahead = 32 * kMaxPayload;  ///< Bytes of a stream that may wait unsent.
  std::uint32_t last_id = kLastId;            ///< No stream opened here gets a higher one.
};

}  // namespace culvert
