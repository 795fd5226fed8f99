#include "tests/support/wan/line.hpp"

#include <unistd.h>

#include <algorithm>
#include <ctime>

namespace culvert::wan {
namespace {

/// Calls for one end before the other one's turn comes.
constexpr int kReadsPerTurn = 64;

}  // namespace

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Line::Line(End near_end, End far_end, std::uint64_t seed)
    : near_{near_end},
      far_{far_end},
      up_{seed, pool_},
      down_{~seed, pool_},
      flows_{pool_},
      scratch_(kLargest) {}

bool Line::work() {
  bool moved = hand_over(Way::Up);
  moved |= hand_over(Way::Down);
  moved |= take_in(Way::Up);
  moved |= take_in(Way::Down);
  return moved;
}

std::int64_t Line::next_due_ns() const {
  return std::min(up_.next_due_ns(), down_.next_due_ns());
}

bool Line::take_in(Way way) {
  bool moved = false;
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const ssize_t n = ::read(sender(way).tun, scratch_.data(), scratch_.size());
    if (n <= 0) break;
    moved = true;
    ++reads_;
    batch_.clear();
    if (!split(Bytes{scratch_}.first(static_cast<std::size_t>(n)), pool_, batch_)) {
      ++strange_;
      continue;
    }
    const std::int64_t now = now_ns();
    for (Packet* packet : batch_) {
      const Verdict verdict = flows_.enter(*packet, way, now);
      if (verdict.answer != nullptr) hand_to(sender(way), verdict.answer);
      if (verdict.pass && !cut_[static_cast<std::size_t>(way)]) {
        link(way).enqueue(packet, now);
      } else {
        ++link(way).statistics.dropped_by_cut;
        pool_.give_back(packet);
      }
    }
  }
  return moved;
}

bool Line::hand_over(Way way) {
  batch_.clear();
  link(way).take_due(now_ns(), batch_);
  if (batch_.empty()) return false;
  std::size_t kept = 0;
  for (Packet* packet : batch_) {
    // What is under way when the line is cut is lost as well.
    if (!cut_[static_cast<std::size_t>(way)] && flows_.leave(*packet, way)) {
      batch_[kept++] = packet;
    } else {
      ++link(way).statistics.dropped_by_cut;
      pool_.give_back(packet);
    }
  }
  for (std::span<Packet* const> left{batch_.data(), kept}; !left.empty();) {
    const auto run = left.first(joinable(left));
    ++writes_;
    if (!write_run(receiver(way).tun, run)) not_taken_ += run.size();
    for (Packet* packet : run) pool_.give_back(packet);
    left = left.subspan(run.size());
  }
  return true;
}

void Line::hand_to(const End& end, Packet* packet) {
  if (!write_run(end.tun, {&packet, 1})) ++not_taken_;
  pool_.give_back(packet);
}

}  // namespace culvert::wan
