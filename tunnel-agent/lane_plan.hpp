// How many lanes the session should have (docs/adr/0005-lanes.md). No I/O, no clock: samples go in, a number
// comes out.
//
//   Base ── busy and steady for a window ──> Growing ── lanes are up ──> Settling ──> Judging ──┬─ paid ──>
//   Base
//    ^                                                                                          └─ not: back,
//    └────────────────────────────────── and a longer wait ──────────────────────────────────────── later
//    again
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tunnel-core/base/time.hpp"
#include "tunnel-core/mux/session.hpp"

namespace culvert {

class LanePlan {
 public:
  /// @param most  1 to 32.
  explicit LanePlan(std::size_t most) : most_(most) {}

  /// The session is back after an outage, and so many bytes of streams wait at this end. Lanes are added at
  /// once where that is much; a trial that was under way is over.
  void note_return(const LineLoad& load, std::uint64_t backlog_bytes, Instant now);
  /// Takes a sample and says how many lanes there should be. To be called every interval().
  std::size_t wanted(const LineLoad& load, Instant now);
  /// Until the next sample: short while something moves.
  Duration interval() const;
  std::size_t most() const { return most_; }

 private:
  enum class Phase { Base, Growing, Settling, Judging };

  /// Bytes over time, in two halves: a rate that still grows by itself proves nothing.
  struct Window {
    Instant since{};
    std::uint64_t bytes_at = 0;
    std::optional<Instant> half_at;
    std::uint64_t half_bytes = 0;
  };

  void begin_window(const LineLoad& load, Instant now);
  std::optional<double> steady_rate(const LineLoad& load, Instant now);
  void consider_step(const LineLoad& load, Instant now);
  void note_base(double rate);
  void take_step(const LineLoad& load, Instant now);
  void judge(const LineLoad& load, Instant now);
  void give_up_step(const LineLoad& load, Instant now);
  void note_busy(const LineLoad& load, Instant now);
  void enter(Phase phase, const LineLoad& load, Instant now);
  void advance(const LineLoad& load, Instant now);
  std::size_t spare_lanes(const LineLoad& load, Instant now) const;
  void catch_up(const LineLoad& load, Instant now);

  const std::size_t most_;
  Phase phase_ = Phase::Base;
  Instant phase_since_{};
  Window window_;
  Duration round_trip_{};
  std::size_t count_ = 1;        ///< Lanes that have proved their worth.
  std::size_t step_ = 0;         ///< On trial beside them.
  std::size_t spare_ = 0;        ///< For answers.
  std::size_t catch_up_ = 0;     ///< For what an outage left.
  std::size_t failed_step_ = 0;  ///< The latest that did not pay; 0 when the latest did.
  std::size_t remembered_ = 1;   ///< Worth it before the line fell idle.
  int windows_judged_ = 0;
  double most_judged_ = 0;          ///< Bytes a second, of the best of them.
  int flat_windows_ = 0;            ///< Of those: the step made no difference, or brought something.
  std::vector<double> base_rates_;  ///< Of the latest windows with count_ lanes, bytes a second.
  double base_rate_ = 0;            ///< Their median.
  Duration retry_after_{};
  Instant next_try_{};
  std::optional<Instant> returned_at_;   ///< While lanes may be added for what an outage left.
  std::uint64_t left_bytes_ = 0;         ///< By the outage, at either end as far as it is known.
  std::uint64_t returned_at_bytes_ = 0;  ///< moved_bytes then.
  bool busy_ = false;
  Instant last_busy_{};
  Instant last_sample_{};
  std::uint64_t last_bytes_ = 0;
  Instant last_moved_{};
  Instant last_waited_{};
};

}  // namespace culvert
