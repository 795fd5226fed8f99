// Signals that would leave something half-written.
#pragma once

#include <csignal>

namespace culvert {

/// A file that would grow beyond the limit of this process (ulimit -f) is then an error of write(2) (EFBIG)
/// like a full disk, and no signal that kills half-way. For the first line of main().
void ignore_file_size_signal();

/// While it lives, INT, TERM, HUP and QUIT wait for this thread: what it has begun to write is finished or
/// taken back before the process ends.
class SignalsDeferred {
 public:
  SignalsDeferred();
  ~SignalsDeferred();
  SignalsDeferred(const SignalsDeferred&) = delete;
  SignalsDeferred& operator=(const SignalsDeferred&) = delete;

 private:
  sigset_t before_;
};

}  // namespace culvert
