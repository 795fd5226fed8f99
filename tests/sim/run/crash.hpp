// A process that a signal ends still names the seed that it was at: a failed assertion, a sanitizer's report
// (sanitizer_options.cpp turns it into SIGABRT), a wild pointer, a stack that overflows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace culvert::sim {

/// From now on, on SIGABRT, SIGSEGV, SIGBUS, SIGFPE and SIGILL; the signal then takes its default action.
void name_seeds_of_crashes();

/// What the calling thread is at from now on.
void note_seed(std::uint64_t seed);

/// While it lives, handlers of the calling thread run on it: a stack that has overflowed has no room for
/// them.
class SignalStack {
 public:
  SignalStack();
  ~SignalStack();
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  std::byte bytes_[64 * 1024];
  bool installed_ = false;
};

}  // namespace culvert::sim
