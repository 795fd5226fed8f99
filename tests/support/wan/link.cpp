#include "tests/support/wan/link.hpp"

#include <algorithm>

namespace culvert::wan {

/// splitmix64: one seed gives one sequence of losses on every machine.
double Link::uniform() {
  random_ += 0x9e3779b97f4a7c15;
  std::uint64_t x = random_;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53;
}

void Link::enqueue(Packet* packet, std::int64_t now_ns) {
  std::int64_t sent_ns = now_ns;
  if (settings.rate_bps > 0) {
    const double ns_per_byte = 8e9 / settings.rate_bps;
    const auto waiting = static_cast<std::int64_t>(
        static_cast<double>(std::max<std::int64_t>(free_at_ns_ - now_ns, 0)) / ns_per_byte);
    if (waiting + packet->size > settings.queue_bytes && !packet->spared) {
      ++statistics.dropped_by_queue;
      return pool_.give_back(packet);
    }
    statistics.max_queue_bytes = std::max(statistics.max_queue_bytes, waiting + packet->size);
    sent_ns = std::max(free_at_ns_, now_ns) + static_cast<std::int64_t>(ns_per_byte * packet->size);
    free_at_ns_ = sent_ns;
  }
  // Behind the bottleneck: a lost packet has used its share of the line.
  if (settings.loss > 0 && uniform() < settings.loss && !packet->spared) {
    ++statistics.dropped_by_loss;
    return pool_.give_back(packet);
  }
  packet->due_ns = sent_ns + settings.delay_ns;
  if (settings.jitter_ns > 0) {
    packet->due_ns += static_cast<std::int64_t>(uniform() * static_cast<double>(settings.jitter_ns));
  }
  if (settings.reorder) {
    const auto behind =
        std::upper_bound(wire_.begin(), wire_.end(), packet->due_ns,
                         [](std::int64_t due, const Packet* other) { return due < other->due_ns; });
    wire_.insert(behind, packet);
  } else {
    if (!wire_.empty()) packet->due_ns = std::max(packet->due_ns, wire_.back()->due_ns);
    wire_.push_back(packet);
  }
}

void Link::take_due(std::int64_t now_ns, std::vector<Packet*>& out) {
  while (!wire_.empty() && wire_.front()->due_ns <= now_ns) {
    Packet* packet = wire_.front();
    wire_.pop_front();
    const std::int64_t late = now_ns - packet->due_ns;
    statistics.max_late_ns = std::max(statistics.max_late_ns, late);
    statistics.sum_late_ns += late;
    ++statistics.packets;
    statistics.bytes += packet->size;
    out.push_back(packet);
  }
}

}  // namespace culvert::wan
