#include "tunnel-core/mux/lane.hpp"

#include <bit>

namespace culvert {
namespace {

constexpr std::size_t kLeastSealed = 16 * 1024;
constexpr std::size_t kMostSealed = 256 * 1024;
constexpr std::size_t kMostInKernel = 4 * 1024 * 1024;
constexpr Duration kRateWindow = 10ms;

}  // namespace

void Lane::note_sent(const FrameHeader& header, Instant now) {
  sent_bytes += kFrameHeaderSize + header.length;
  if (is_state_frame(header.type)) in_flight.push_back({header, now});
}

void Lane::note_processed(std::size_t frame_size, Instant now) {
  if (processed_ == receipt_sent_) {
    receipt_deadline_ = now + kReceiptDelay;
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
  round_trip_ = round_trip_ == Duration{} ? sample : (round_trip_ * 7 + sample) / 8;
  const Duration passed = now - rate_since_;
  if (passed < kRateWindow) return;
  const double sampled = static_cast<double>(rate_bytes_) / std::chrono::duration<double>(passed).count();
  // Rising at once and falling slowly: an idle pause is not a slow line.
  rate_ = std::max(sampled, rate_ * 0.9);
  rate_bytes_ = 0;
  rate_since_ = now;
}

std::size_t Lane::seal_budget() const {
  if (rate_ == 0) return kMostSealed;
  return std::clamp(static_cast<std::size_t>(rate_ * 0.002), kLeastSealed, kMostSealed);
}

std::size_t Lane::kernel_budget() const {
  if (rate_ == 0) return kMostSealed;
  return std::clamp(std::bit_ceil(static_cast<std::size_t>(rate_ * 0.002)), kLeastSealed, kMostInKernel);
}

}  // namespace culvert
