#include "tests/sim/world/pipe.hpp"

#include <algorithm>

namespace culvert::sim {

bool Pipe::has_room(Instant now) const {
  if (cut_) return vanished_ < kSocketBuffer;
  const Instant from = std::max(now, std::min(stalled_until_, now + 1s));
  const double waiting = std::chrono::duration<double>(busy_until_ - now).count() * rate_;
  return waiting < kSocketBuffer && (from == now || under_way() < kSocketBuffer);
}

void Pipe::write(Bytes bytes, Instant now) {
  if (cut_) {
    vanished_ += bytes.size();
    return;
  }
  busy_until_ = std::max(busy_until_, now) +
                std::chrono::duration_cast<Duration>(
                    std::chrono::duration<double>(static_cast<double>(bytes.size()) / rate_));
  chunks_.push_back({busy_until_ + latency_, std::move(bytes)});
}

Instant Pipe::next_arrival() const {
  if (chunks_.empty()) return Instant::max();
  return std::max(chunks_.front().arrives, stalled_until_);
}

Bytes Pipe::take(Instant now) {
  Bytes all;
  while (next_arrival() <= now) {
    all.insert(all.end(), chunks_.front().bytes.begin(), chunks_.front().bytes.end());
    chunks_.pop_front();
  }
  return all;
}

void Pipe::cut(std::size_t kept, Instant now) {
  cut_ = true;
  busy_until_ = now;
  std::deque<Chunk> left;
  for (Chunk& chunk : chunks_) {
    const std::size_t n = std::min(kept, chunk.bytes.size());
    if (n == 0) break;
    chunk.bytes.resize(n);
    kept -= n;
    left.push_back(std::move(chunk));
  }
  chunks_ = std::move(left);
}

std::size_t Pipe::under_way() const {
  std::size_t n = 0;
  for (const Chunk& chunk : chunks_) n += chunk.bytes.size();
  return n;
}

}  // namespace culvert::sim
