// Two sessions and one lane between them, without sockets or TLS: what the state machines alone cost.
#pragma once

#include <cstdint>

#include "tests/support/slab_region.hpp"
#include "tunnel-core/mux/session.hpp"

namespace culvert::bench {

class SessionPair {
 public:
  SessionPair();

  struct End {
    explicit End(Role role, Instant now);

    SlabRegion region;
    SlabPool slabs;
    ProcessMemory process;
    Session session;
  };

  End agent;
  End gateway;

  /// Opened by the agent, accepted by the gateway.
  StreamId open();
  /// Ends the stream from both sides, in order.
  void close(StreamId stream);
  /// The agent's source gives up to `n` bytes to the stream, as many as there is window; how many.
  std::size_t write(StreamId stream, std::size_t n);
  /// The gateway's target takes everything there is.
  std::size_t read(StreamId stream);
  /// Carries frames of both directions until there are none, copied into slabs as TLS would open them there.
  /// How many frames came from the agent.
  std::size_t carry();
  /// Time passes for both, timers ring.
  void pass(Duration time);

 private:
  std::size_t carry_one_way(End& from, End& to);
  void take_events(End& end);

  Instant now_{std::chrono::hours{1}};
};

}  // namespace culvert::bench
