// One thread of the data path: its io_context, its slabs, and the housekeeping that gives memory back.
// A session with all its lanes and streams lives on exactly one of them; only values cross threads.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <set>

#include "tunnel-core/base/slab.hpp"
#include "tunnel-core/net/slab_arena.hpp"
#include "tunnel-core/net/steady_clock.hpp"

namespace culvert {

class SessionDriver;

class DataThread {
 public:
  /// @param slab_bytes  address space of this thread's slabs.
  /// @error MemoryLimitReached.
  static Result<std::unique_ptr<DataThread>> create(SlabArena& arena, std::size_t slab_bytes);
  DataThread(SlabArena& arena, MutableByteSpan region);

  /// Runs until stop(); called from the thread that it is to be.
  void run();
  void stop();

  boost::asio::io_context& io() { return io_; }
  SlabPool& slabs() { return slabs_; }
  const Clock& clock() const { return clock_; }
  /// Turns of the housekeeping, every two seconds: a watchdog sees that the thread still works.
  std::uint64_t beats() const { return beats_.load(std::memory_order_relaxed); }

  void add(SessionDriver& driver) { drivers_.insert(&driver); }
  void remove(SessionDriver& driver) { drivers_.erase(&driver); }

 private:
  void housekeep();

  SlabArena& arena_;
  SteadyClock clock_;
  SlabPool slabs_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  std::set<SessionDriver*> drivers_;
  std::atomic<std::uint64_t> beats_{0};
};

}  // namespace culvert
