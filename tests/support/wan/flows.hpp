// The TCP connections seen on the line, and what happens to those that somebody cuts.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/support/wan/packet.hpp"

namespace culvert::wan {

/// Which way a packet goes. `Up` is from the near end to the far end.
enum class Way : std::uint8_t { Up = 0, Down = 1 };
inline Way opposite(Way way) {
  return way == Way::Up ? Way::Down : Way::Up;
}

/// Live:       packets pass.
/// BlackHole:  nothing passes, nobody is told.
/// Reset:      nothing passes; both ends were sent a reset, and every further packet is answered by one.
/// Truncating: the next packet with payload passes half, with a FIN; then nothing passes, and the sender's
/// further
///             packets are answered by a reset, and data of the receiver once it has the FIN.
/// Rebound:    the address translator at the near end forgot the connection: packets to the far end get a new
/// source
///             port (whose strange packets the far end answers by a reset), packets to the old port are lost.
enum class Fate : std::uint8_t { Live, BlackHole, Reset, Truncating, Truncated, Rebound };

struct Flow {
  std::uint64_t number = 0;
  std::uint32_t near_address = 0;
  std::uint32_t far_address = 0;
  std::uint16_t near_port = 0;
  std::uint16_t far_port = 0;
  std::uint16_t new_port = 0;  ///< After a rebind.
  Fate fate = Fate::Live;
  Way truncated = Way::Up;    ///< The direction that got the FIN.
  bool fin_arrived = false;   ///< It reached its receiver.
  bool reset_seen = false;    ///< One of the ends, or we, ended it by a reset.
  bool answered = false;      ///< An end answered a SYN: it is open.
  std::uint32_t syn_end = 0;  ///< Sequence number behind its first packet: tells a SYN that is sent again.
  std::array<bool, 2> fin_seen{};
  std::array<std::uint32_t, 2> delivered_end{};  ///< By way: behind the last byte that arrived.
  std::array<std::uint32_t, 2> acknowledged{};   ///< By way of the acknowledging packet.
  std::array<std::uint64_t, 2> packets{};
  std::array<std::uint64_t, 2> bytes{};
  std::int64_t begun_ns = 0;
  std::int64_t last_ns = 0;

  bool ended() const { return reset_seen || (fin_seen[0] && fin_seen[1]); }
  bool is_over() const { return ended() || fate != Fate::Live; }
};

/// What a packet, at one of the two ends of the line, leads to.
struct Verdict {
  bool pass = true;
  Packet* answer = nullptr;  ///< To be handed to the end that sent the packet.
};

class Flows {
 public:
  explicit Flows(PacketPool& pool) : pool_{pool} {}

  /// A packet as an end gave it to us; names its flow and may change it (rebind, truncation).
  Verdict enter(Packet& packet, Way way, std::int64_t now_ns);
  /// A packet as it is about to reach the other end.
  bool leave(Packet& packet, Way way);

  /// Live flows, oldest first; all of them, or those whose far port is `far_port` (0: any).
  std::vector<Flow*> live(std::uint16_t far_port);
  Flow* find(std::uint64_t number);

  void black_hole(Flow& flow) { flow.fate = Fate::BlackHole; }
  void truncate(Flow& flow) { flow.fate = Fate::Truncating; }
  void rebind(Flow& flow);
  /// The two resets: [0] for the near end, [1] for the far end.
  std::array<Packet*, 2> reset(Flow& flow);

  std::string json();
  /// Removes what has ended and been silent for ten seconds.
  void forget_old(std::int64_t now_ns);

 private:
  using Key = std::uint64_t;  ///< Low bits of both addresses, both ports: the line has two hosts.

  static Key key(std::uint32_t near_address, std::uint16_t near_port, std::uint32_t far_address,
                 std::uint16_t far_port);
  Packet* reset_for(const Flow& flow, Way of_sender, std::uint32_t sequence);
  Verdict judge(Flow& flow, Packet& packet, Way way);

  PacketPool& pool_;
  std::map<std::uint64_t, Flow> flows_;
  std::unordered_map<Key, std::uint64_t> numbers_;            ///< Ports as the near end has them.
  std::unordered_map<std::uint16_t, std::uint64_t> rebound_;  ///< New port to flow.
  std::uint64_t last_number_ = 0;
};

}  // namespace culvert::wan
