// A flag that poll(2) can wait for: how a call is cancelled and how it learns that its reply is there.
#pragma once

#include <atomic>

#include "tunnel-core/base/time.hpp"

namespace culvert::cloud_api {

/// Signalled once, for good. Thread-safe; what was written before signal() is seen by who finds it signalled.
class Wake {
 public:
  Wake();
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;
  ~Wake();

  void signal() noexcept;
  bool signalled() const noexcept { return signalled_.load(std::memory_order_acquire); }
  int fd() const { return fd_; }  ///< Readable from signal() on.

 private:
  int fd_;
  std::atomic<bool> signalled_ = false;  ///< The descriptor alone orders no memory.
};

enum class Woken { Done, Cancelled, DeadlinePassed };

/// Waits for `done` (null: for nothing), `cancelled` or the deadline, whichever is first.
Woken wait_for(const Wake* done, const Wake& cancelled, Instant deadline);

/// What poll(2) gets for the time until `deadline`: rounded up, 0 when it has passed.
int poll_timeout_ms(Instant deadline);

}  // namespace culvert::cloud_api
