// Who may hold how much memory: process -> session -> stream. Bytes are accounted here before they are
// allocated. Rules: docs/protocol.md §8.2, §8.3.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "tunnel-core/base/assert.hpp"
#include "tunnel-core/base/units.hpp"

namespace culvert {

/// Shared by all threads, hence the atomics: the only state that sessions have in common.
class ProcessMemory {
 public:
  explicit ProcessMemory(ByteCount ceiling) : ceiling_(ceiling.value) {}

  bool reserve(std::uint64_t n) {
    std::uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      if (n > ceiling_ - used) return false;
    } while (!used_.compare_exchange_weak(used, used + n, std::memory_order_relaxed));
    return true;
  }
  void release(std::uint64_t n) { used_.fetch_sub(n, std::memory_order_relaxed); }
  std::uint64_t left() const { return ceiling_ - used_.load(std::memory_order_relaxed); }
  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  std::uint64_t ceiling() const { return ceiling_; }

 private:
  const std::uint64_t ceiling_;
  std::atomic<std::uint64_t> used_{0};
};

/// One session's share. Everything reserved is released by whoever reserved it; the rest with the session.
class SessionMemory {
 public:
  SessionMemory(ProcessMemory& process, ByteCount ceiling) : process_(process), ceiling_(ceiling.value) {}
  ~SessionMemory() { process_.release(used_); }
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  bool reserve(std::uint64_t n) {
    if (n > ceiling_ - used_ || !process_.reserve(n)) return false;
    used_ += n;
    return true;
  }

  void release(std::uint64_t n) {
    TUNNEL_ASSERT(n <= used_);
    used_ -= n;
    process_.release(n);
  }

  /// For a new stream: leaves what streams that are over or refused need until the peer has receipted that,
  /// or a session that is full could not even refuse.
  bool reserve_for_open(std::uint64_t n) { return n <= left() && n <= left_of_process() && reserve(n); }

  /// How much a stream that holds `held` above its minimum may add, so that it holds at most three times what
  /// its session has left, and the session three times what the process has left.
  std::uint64_t room_to_grow(std::uint64_t held) const {
    return std::min(quarter_room(left(), held), quarter_room(left_of_process(), used_));
  }

  /// What any stream may have, whether it moves bytes or not. The other half stays for the minimum of others
  /// and for those that do, or a thousand idle streams would keep the next from opening.
  std::uint64_t room_in_half() const {
    const std::uint64_t of_session = ceiling_ / 2 - std::min(ceiling_ / 2, used_);
    const std::uint64_t of_process =
        process_.ceiling() / 2 - std::min(process_.ceiling() / 2, process_.used());
    return std::min(of_session, of_process);
  }

  std::uint64_t used() const { return used_; }
  std::uint64_t ceiling() const { return ceiling_; }

 private:
  /// A sixteenth is kept back, 4 MiB of a session and 64 MiB of a process at most.
  std::uint64_t left() const { return beyond(ceiling_ - used_, std::min(ceiling_ / 16, kMostKept)); }
  std::uint64_t left_of_process() const {
    return beyond(process_.left(), std::min(process_.ceiling() / 16, 16 * kMostKept));
  }
  static std::uint64_t beyond(std::uint64_t all, std::uint64_t kept) { return all - std::min(all, kept); }

  /// The largest n with held + n <= 3 * (left - n).
  static std::uint64_t quarter_room(std::uint64_t left, std::uint64_t held) {
    return 3 * left > held ? (3 * left - held) / 4 : 0;
  }

  static constexpr std::uint64_t kMostKept = std::uint64_t{4} << 20;

  ProcessMemory& process_;
  const std::uint64_t ceiling_;
  std::uint64_t used_ = 0;
};

}  // namespace culvert
