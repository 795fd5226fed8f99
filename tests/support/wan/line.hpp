// The whole line: two ends, a link each way, the flows on it; moves packets and obeys commands.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/wan/ends.hpp"
#include "tests/support/wan/flows.hpp"
#include "tests/support/wan/link.hpp"

namespace culvert::wan {

/// CLOCK_MONOTONIC, which Python's time.monotonic() reads as well.
std::int64_t now_ns();

class Line {
 public:
  Line(End near_end, End far_end, std::uint64_t seed);

  /// Reads, queues and delivers what there is. True when anything moved.
  bool work();
  /// When the next packet is due; INT64_MAX when none is under way.
  std::int64_t next_due_ns() const;
  /// One command, one answer: a JSON object with `ok` and, when true, `at_us`, the instant it took force. The
  /// commands stand in main.cpp.
  std::string obey(const std::string& command);
  void forget_old() { flows_.forget_old(now_ns()); }

 private:
  Link& link(Way way) { return way == Way::Up ? up_ : down_; }
  const End& receiver(Way way) const { return way == Way::Up ? far_ : near_; }
  const End& sender(Way way) const { return way == Way::Up ? near_ : far_; }

  bool take_in(Way way);
  bool hand_over(Way way);
  void hand_to(const End& end, Packet* packet);

  std::string set(const std::vector<std::string>& words);
  std::string cut(const std::vector<std::string>& words);
  std::string kill(const std::vector<std::string>& words);
  std::string statistics_json() const;

  End near_;
  End far_;
  PacketPool pool_;
  Link up_;
  Link down_;
  Flows flows_;
  std::array<bool, 2> cut_{};    ///< By way: nothing passes.
  std::uint64_t not_taken_ = 0;  ///< The receiving kernel refused it.
  std::uint64_t strange_ = 0;    ///< Neither IPv4 nor of a size that we know.
  std::uint64_t reads_ = 0;
  std::uint64_t writes_ = 0;
  std::vector<std::uint8_t> scratch_;
  std::vector<Packet*> batch_;
};

}  // namespace culvert::wan
