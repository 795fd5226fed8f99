// The local socket of one end of one stream: writes bytes that can be told apart by their offset, reads and
// checks the other end's, and ends the stream in one of the ways sockets end. It acts only when it was told
// that it may (kReadable, kWritable), so a wake-up that the session forgets stops the stream.
#pragma once

#include <cstdint>

#include "tests/sim/world/random.hpp"
#include "tests/sim/world/wire_tap.hpp"
#include "tunnel-core/mux/session.hpp"

namespace culvert::sim {

enum class Ending : std::uint8_t { Finish, Reset, ResetAfterDelivery };

struct Habits {
  std::uint64_t to_write = 0;
  std::uint64_t write_burst = 1;  ///< Bytes the socket yields at once, at most.
  std::uint64_t read_burst = 1;   ///< Bytes the socket takes at once, at most.
  Duration write_pause{};         ///< Between bursts, at most.
  Duration read_pause{};
  Ending ending = Ending::Finish;
  Duration decide{};  ///< Before an offered stream is accepted.
  bool refuse = false;
  bool steady = false;  ///< Bursts are as large as they can be, not random.

  static Habits random(Random& random, std::uint64_t most_bytes);
};

/// What both ends of a stream are held against.
struct StreamRecord {
  std::uint64_t written[2] = {};  ///< By sender: 0 agent, 1 gateway.
  bool finished[2] = {};
  bool accepted = false;  ///< By the end that was offered the stream: its policy allowed it.
  bool may_be_reset = false;
  OpenInfo info;  ///< As it was opened.
};

class Application {
 public:
  Application(StreamId id, std::size_t side, Habits habits, StreamRecord& record, Instant now)
      : id_(id), side_(side), habits_(habits), record_(record), decide_at_(now + habits.decide) {}

  StreamId id() const { return id_; }
  bool over() const { return over_; }
  void handle_event(Session& session, const StreamEvent& event);
  void set_accepted() { accepted_ = true; }

  /// Does what is due. True: something was done. @throws Failure
  bool act(Session& session, WireTap& tap, Random& random, Instant now);
  /// When act() has something to do again; Instant::max(): only after an event.
  Instant next_act() const;

 private:
  bool act_on_offer(Session& session, Instant now);
  bool act_on_write(Session& session, Random& random, Instant now);
  bool act_on_read(Session& session, WireTap& tap, Random& random, Instant now);
  void end_writing(Session& session, Instant now);

  const StreamId id_;
  const std::size_t side_;
  const Habits habits_;
  StreamRecord& record_;
  Instant decide_at_;
  Instant write_at_{};
  Instant read_at_{};
  std::uint64_t read_ = 0;
  bool accepted_ = false;
  bool may_write_ = true;
  bool may_read_ = false;
  bool wrote_all_ = false;
  bool fin_delivered_ = false;
  bool over_ = false;
};

}  // namespace culvert::sim
