// What the kernel knows of a lane's way, for diagnosis.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tunnel-core/base/time.hpp"

namespace culvert {

struct LineFacts {
  std::uint64_t segments_sent = 0;    ///< Of this connection, those sent again included.
  std::uint64_t segments_resent = 0;  ///< Taken for lost.
  unsigned time_outs = 0;             ///< In a row, since anything was acknowledged.
  Duration round_trip{};              ///< Smoothed: with what stands in queues.
  Duration least_round_trip{};        ///< The shortest of late: without queues.
  Duration busy{};                    ///< So long there was something to send, since it was made.
  Duration held_by_buffers{};  ///< Of that, for want of room in this end's send or the peer's receive buffer.
  std::string congestion_control;  ///< As the kernel calls it: `bbr`, `cubic`.
};

/// TCP_INFO of a connected socket; nothing where the kernel does not tell all of it.
std::optional<LineFacts> line_facts(int fd);

}  // namespace culvert
