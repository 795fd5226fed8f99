#include "tunnel-core/mux/lane.hpp"

#include <bit>

#include "tunnel-core/wire/open_info.hpp"

namespace culvert {
namespace {

constexpr std::size_t kLeastSealed = 16 * 1024;
constexpr std::size_t kMostSealed = 256 * 1024;
constexpr std::size_t kMostInKernel = 4 * 1024 * 1024;
constexpr Duration kRateWindow = 10ms;
constexpr Duration kLeastPeriod = 1s;
constexpr Duration kMostReceiptDelay = 25ms;
constexpr Duration kStallUnknown = 500ms;  ///< While the round trip is unknown.
constexpr Duration kStallSlack = 50ms;
constexpr Duration kStallAtMost = 2s;  ///< Before the lane is declared dead.
constexpr Duration kKernelTime = 2ms;
constexpr Duration kMostKernelTime = 10ms;
constexpr Duration kFrameTime = 10ms;
constexpr double kLongestExpected = 3600;  ///< Seconds.
constexpr Duration kQuantumTime = 80us;
constexpr std::size_t kMostQuantum = 64 * 1024;

}  // namespace

void Lane::note_sent(const FrameHeader& header, Instant now) {
  sent_bytes += kFrameHeaderSize + header.length;
  if (!is_state_frame(header.type)) return;
  if (in_flight.empty()) last_progress_ = now;
  in_flight.push_back({header, now});
  carries_again = suspected;
  in_flight_bytes_ += kFrameHeaderSize + header.length;
}

void Lane::note_processed(std::size_t frame_size, Instant now) {
  if (processed_ == receipt_sent_) {
    receipt_deadline_ = now + std::clamp(round_trip_ / 16, kReceiptDelay, kMostReceiptDelay);
    receipt_timed_ = false;
  }
  ++processed_;
  unreceipted_bytes_ += frame_size;
}

std::uint64_t Lane::take_receipt() {
  receipt_sent_ = processed_;
  unreceipted_bytes_ = 0;
  return processed_;
}

void Lane::measure(Instant sent_at, Instant now) {
  const Duration sample = now - sent_at;
  if (round_trip_ == Duration{}) {
    round_trip_ = sample;
    variation_ = sample / 2;
  } else {
    variation_ = (variation_ * 3 + std::chrono::abs(sample - round_trip_)) / 4;
    round_trip_ = (round_trip_ * 7 + sample) / 8;
  }
  if (now - least_since_ > kLeastPeriod) {
    least_[1] = least_[0];
    least_[0] = sample;
    least_since_ = now;
  }
  least_[0] = std::min(least_[0], sample);
  least_ever_ = least_ever_ == Duration{} ? sample : std::min(least_ever_, sample);
  window_least_ = window_least_ == Duration{} ? sample : std::min(window_least_, sample);
  const Duration passed = now - rate_since_;
  if (passed < std::max(kRateWindow, round_trip_)) return;
  const double sampled = static_cast<double>(rate_bytes_) / std::chrono::duration<double>(passed).count();
  recent_rate_ = std::max(sampled, recent_rate_ * 0.9);
  // What a lane delivered while it could have taken more says only that it is not slower than that.
  if (!was_hungry_) {
    rate_ = std::max(sampled, rate_ * 0.8);
  } else if (rate_ > 0) {
    rate_ = std::max(sampled, rate_);
  }
  // Whose bulk is held has next to nothing waiting at this end.
  const Duration own = line_queue_.holds() ? Duration{} : own_waiting();
  line_queue_.observe(std::max(window_least_ - own, least_ever_), least_ever_, rate_, now);
  window_least_ = {};
  was_hungry_ = false;
  rate_bytes_ = 0;
  rate_since_ = now;
}

std::size_t Lane::seal_budget() const {
  if (recent_rate_ == 0) return kMostSealed;
  return std::clamp(static_cast<std::size_t>(recent_rate_ * 0.002), kLeastSealed, kMostSealed);
}

std::size_t Lane::kernel_budget() const {
  if (recent_rate_ == 0) return kMostSealed;
  // On a far line an eighth of the round trip delays nobody much, and bridges a thread that is scheduled
  // late.
  const Duration time = std::clamp(least_round_trip() / 8, kKernelTime, kMostKernelTime);
  const double bytes = recent_rate_ * std::chrono::duration<double>(time).count();
  return std::clamp(std::bit_ceil(static_cast<std::size_t>(bytes)), kLeastSealed, kMostInKernel);
}

std::size_t Lane::payload_limit(std::size_t least) const {
  if (recent_rate_ == 0) return std::max(kPackBelow, least);
  if (rate_ == 0) return kMaxPayload;
  const double bytes = rate_ * std::chrono::duration<double>(kFrameTime).count();
  return bytes >= kMaxPayload ? kMaxPayload : std::max(static_cast<std::size_t>(bytes), least);
}

std::size_t Lane::quantum(std::size_t payload) const {
  const double bytes = recent_rate_ * std::chrono::duration<double>(kQuantumTime).count();
  const std::size_t frame = (kFrameHeaderSize + payload) / kDefaultWeight;
  return std::clamp(static_cast<std::size_t>(bytes), frame, kMostQuantum);
}

Duration Lane::least_round_trip() const {
  return least_[1] > Duration{} ? std::min(least_[0], least_[1]) : least_[0];
}

/// How long what waits at this end takes, sealed or in the kernel; the least round trip at most.
Duration Lane::own_waiting() const {
  if (recent_rate_ == 0) return {};
  // In floating point until it is bounded: a lane that has long been idle has next to no rate.
  const std::chrono::duration<double> own{static_cast<double>(seal_budget() + kernel_budget()) /
                                          recent_rate_};
  if (own >= least_round_trip()) return least_round_trip();
  return std::chrono::duration_cast<Duration>(own);
}

Duration Lane::line_round_trip() const {
  return std::max(least_ever_, least_round_trip() - own_waiting());
}

bool Lane::queue_stands() const {
  if (line_queue_.holds()) return true;
  return least_ever_ > Duration{} && line_round_trip() > least_ever_ + least_ever_ / 5 + 2ms;
}

Duration Lane::expected_delivery(std::size_t more, Duration unknown) const {
  const Duration least = round_trip_ == Duration{} ? unknown : least_round_trip();
  if (rate_ == 0) return least;
  const double queued = std::min(static_cast<double>(in_flight_bytes_ + more) / rate_, kLongestExpected);
  return std::max(least, std::chrono::duration_cast<Duration>(std::chrono::duration<double>(queued)));
}

std::optional<Instant> Lane::stall_deadline() const {
  if (in_flight.empty()) return std::nullopt;
  if (round_trip_ == Duration{}) return last_progress_ + kStallUnknown;
  const Duration expected = round_trip_ * 3 / 2 + variation_ * 4 + kStallSlack;
  return last_progress_ + std::min(expected, kStallAtMost);
}

bool Lane::close_is_due() const {
  return retiring && !close_sent && (in_flight.empty() || suspected);
}

}  // namespace culvert
