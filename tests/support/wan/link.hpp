// One direction of the line: a bottleneck with a finite drop-tail queue, then a wire with loss, delay and
// jitter.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "tests/support/wan/packet.hpp"

namespace culvert::wan {

struct LinkSettings {
  std::int64_t delay_ns = 0;           ///< Of the wire, behind the bottleneck.
  std::int64_t jitter_ns = 0;          ///< Uniform, 0 to this, on top of the delay.
  double loss = 0;                     ///< Of each packet on the wire, 0 to 1, independent of the others.
  double rate_bps = 0;                 ///< Of IP packets with their headers; 0: without limit.
  std::int64_t queue_bytes = 1 << 20;  ///< Drop-tail. Counts what the bottleneck has not yet sent.
  bool reorder = false;                ///< Jitter may let a packet overtake another.
};

struct LinkStatistics {
  std::uint64_t packets = 0;  ///< Delivered.
  std::uint64_t bytes = 0;    ///< Delivered, IP headers included.
  std::uint64_t dropped_by_queue = 0;
  std::uint64_t dropped_by_loss = 0;
  std::uint64_t dropped_by_cut = 0;
  std::int64_t max_queue_bytes = 0;
  std::int64_t max_late_ns = 0;  ///< How much later than due a packet was handed over, at worst.
  std::int64_t sum_late_ns = 0;
};

class Link {
 public:
  Link(std::uint64_t seed, PacketPool& pool) : pool_{pool}, random_{seed} {}

  LinkSettings settings;
  LinkStatistics statistics;

  /// Takes the packet; drops it, or holds it until it is due.
  void enqueue(Packet* packet, std::int64_t now_ns);
  /// Moves what is due at `now_ns` to `out`, in order of arrival.
  void take_due(std::int64_t now_ns, std::vector<Packet*>& out);
  /// INT64_MAX when nothing is under way.
  std::int64_t next_due_ns() const { return wire_.empty() ? INT64_MAX : wire_.front()->due_ns; }

 private:
  double uniform();

  PacketPool& pool_;
  std::uint64_t random_;
  std::deque<Packet*> wire_;     ///< By due_ns.
  std::int64_t free_at_ns_ = 0;  ///< When the bottleneck has sent all it took.
};

}  // namespace culvert::wan
