// A world without a timetable: at each step somebody outside picks one of the things that could happen next.
// So an exploration can try all orders, and a fuzzer can look for one.
//
// Each end has a clock of its own that moves with what happens to that end alone. What an end does thus
// depends only on its own past, and two orders that differ in what happened first at different ends are one.
#pragma once

#include <deque>
#include <functional>
#include <string>

#include "tests/sim/world/endpoint.hpp"
#include "tests/sim/world/sim_lane.hpp"

namespace culvert::sim {

struct ChoiceBounds {
  std::size_t lanes = 2;        ///< At a time, as the agent knows them.
  std::size_t lanes_up = 0;     ///< From the start; 0: the first one is only dialled.
  std::size_t extra_dials = 0;  ///< Beside those that are needed because no lane is left.
  std::size_t faults = 0;       ///< Cuts, stalls, lanes given back, epochs that overtake each other.
  std::size_t streams = 1;
  std::uint64_t most_bytes = 0;  ///< Of a stream with random habits; 0: `agent` and `gateway` below.
  Habits agent{};                ///< Of the end that opens the stream.
  Habits gateway{};
  bool cut_anywhere = false;  ///< A cut keeps any number of bytes; else none or half of the first frames.
  std::size_t room = 2;       ///< Chunks that a connection takes before it is full.
  bool gathers = false;       ///< An end writes when it has nothing else to do: FIN goes with the last bytes.
  bool timers = false;        ///< Chosen like all else when nothing is on its way; else only finish() waits.
  std::size_t early_timers = 0;  ///< So many go off although something is on its way, which thus is late.
};

class ChoiceWorld {
 public:
  /// Picks one of n things, 0 to n - 1.
  using Chooser = std::function<std::size_t(std::size_t n)>;

  ChoiceWorld(const ChoiceBounds& bounds, Random random);

  /// Lets one of the possible things happen. False: nothing can any more. @throws Failure
  bool step(const Chooser& choose);
  /// Every stream has come to its end and is forgotten; if timers are chosen, nothing is on its way, too.
  bool is_over() const;
  /// From now on nothing goes wrong: everything must come to its end. @throws Failure
  void finish();
  /// Two worlds of the same number are in the same state: of each end it hashes all that ever reached it,
  /// byte by byte and in order, and of each connection what is on its way and what may still become of it.
  std::uint64_t fingerprint() const;
  /// What has happened, a line a step.
  const std::string& story() const { return story_; }

 private:
  using Chunk = Bytes;  ///< What a session wrote at once: at most one frame with data.

  struct ChoiceLane {
    LaneId id;
    std::uint32_t epoch;
    std::deque<Chunk> to[2];       ///< Towards the agent, towards the gateway.
    std::size_t vanished[2] = {};  ///< Chunks written after the cut, towards each end.
    bool full[2] = {};             ///< That end had more to write than there was room for.
    bool up[2] = {};
    bool asked = false;     ///< HELLO has reached the gateway.
    bool answered = false;  ///< The agent knows how its dial ended.
    bool refused = false;
    bool cut = false;
    LaneLedger ledger[2] = {};
  };

  enum class Kind { Deliver, Hello, Answer, Notice, Dial, Cut, Stall, Retire, Overtake, Wait };
  struct Action {
    Kind kind;
    std::size_t lane = 0;  ///< Index in lanes_.
    std::size_t side = 0;
  };

  std::vector<Action> possible() const;
  void add_timers(std::vector<Action>& actions) const;
  void add_faults(std::vector<Action>& actions) const;
  void act(const Action& action, const Chooser& choose);
  void deliver(ChoiceLane& lane, std::size_t side);
  void hello(ChoiceLane& lane);
  void answer(ChoiceLane& lane);
  void notice(ChoiceLane& lane, std::size_t side);
  void cut(ChoiceLane& lane, const Chooser& choose);
  void stall(std::size_t side);
  void dial(std::uint32_t epoch);
  /// Time passes at that end, and it does all that it can.
  void settle(std::size_t side, std::uint64_t what);
  void obey_session(std::size_t side);
  bool write(std::size_t side);
  bool write_chunk(ChoiceLane& lane, std::size_t side);
  void wait(std::size_t side);
  void pass(std::size_t side, Duration time);
  bool pass_time();
  bool is_moving() const;
  bool is_done() const;
  Instant next_timer(std::size_t side) const;
  void check() const;
  std::size_t agent_lanes() const;
  ChoiceLane* find_up(LaneId id, std::size_t side);
  Endpoint& end(std::size_t side) { return side == 0 ? agent_ : gateway_; }
  const Endpoint& end(std::size_t side) const { return side == 0 ? agent_ : gateway_; }

  const ChoiceBounds bounds_;
  Random random_;
  Instant now_[2] = {Instant{1h}, Instant{1h}};
  std::map<std::uint32_t, StreamRecord> records_;
  WireTap tap_;
  Endpoint agent_;
  Endpoint gateway_;
  std::vector<ChoiceLane> lanes_;
  std::uint32_t next_number_ = 1;
  std::uint32_t last_epoch_ = 0;
  std::size_t extra_dials_left_;
  std::size_t faults_left_;
  std::size_t early_timers_left_;
  std::uint64_t past_[2] = {1, 2};  ///< Of each end, hashed.
  std::string story_;
};

}  // namespace culvert::sim
