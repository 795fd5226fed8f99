#include "tests/sim/world/pipe.hpp"

#include <algorithm>

namespace culvert::sim {

bool Pipe::has_room(Instant now) const {
  return next_room(now) <= now;
}

/// A line that stalls fills the socket with what is under way; else it holds what the rate has not taken yet.
Instant Pipe::next_room(Instant now) const {
  if (cut_) return vanished_ < kSocketBuffer ? now : Instant::max();
  if (under_way_ < kSocketBuffer) return now;
  return std::max({now, room_from(kSocketBuffer), stalled_until_});
}

Instant Pipe::room_from(std::size_t buffer) const {
  const std::chrono::duration<double> taken{static_cast<double>(buffer) / rate_};
  return busy_until_ - std::chrono::duration_cast<Duration>(taken);
}

void Pipe::write(Bytes bytes, Instant now) {
  if (cut_) {
    vanished_ += bytes.size();
    return;
  }
  busy_until_ = std::max(busy_until_, now) +
                std::chrono::duration_cast<Duration>(
                    std::chrono::duration<double>(static_cast<double>(bytes.size()) / rate_));
  under_way_ += bytes.size();
  chunks_.push_back({busy_until_ + latency_, std::move(bytes)});
}

Instant Pipe::next_arrival() const {
  if (chunks_.empty()) return Instant::max();
  return std::max(chunks_.front().arrives, stalled_until_);
}

Bytes Pipe::take(Instant now) {
  Bytes all;
  while (next_arrival() <= now) {
    under_way_ -= chunks_.front().bytes.size();
    all.insert(all.end(), chunks_.front().bytes.begin(), chunks_.front().bytes.end());
    chunks_.pop_front();
  }
  return all;
}

void Pipe::cut(std::size_t kept, Instant now) {
  cut_ = true;
  busy_until_ = now;
  under_way_ = 0;
  std::deque<Chunk> left;
  for (Chunk& chunk : chunks_) {
    const std::size_t n = std::min(kept, chunk.bytes.size());
    if (n == 0) break;
    chunk.bytes.resize(n);
    kept -= n;
    under_way_ += n;
    left.push_back(std::move(chunk));
  }
  chunks_ = std::move(left);
}

}  // namespace culvert::sim
