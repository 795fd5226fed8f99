#include "tests/sim/run/crash.hpp"

#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

namespace culvert::sim {
namespace {

thread_local std::uint64_t t_seed = 0;  // Signals reach nothing but globals. 0: this thread runs none.

/// A line without allocation, locks or stdio: the crash may have come from within any of them.
class Line {
 public:
  Line& operator<<(std::string_view text) {
    for (const char c : text) {
      if (end_ < text_ + sizeof text_) *end_++ = c;
    }
    return *this;
  }
  Line& operator<<(std::uint64_t number) {
    end_ = std::to_chars(end_, text_ + sizeof text_, number).ptr;
    return *this;
  }
  void write_to(int descriptor) const {
    (void)!write(descriptor, text_, static_cast<std::size_t>(end_ - text_));
  }

 private:
  char text_[120];
  char* end_ = text_;
};

void handle_crash(int number) {
  Line line;
  if (t_seed == 0) {
    line << "crashed, but this thread was at no seed\n";
  } else {
    line << "seed " << t_seed << " crashed: replay with ./dev sim " << t_seed << "\n";
  }
  line.write_to(STDERR_FILENO);
  raise(number);  // Blocked until this handler returns, and by then without a handler (SA_RESETHAND).
}

}  // namespace

void name_seeds_of_crashes() {
  struct sigaction action {};
  action.sa_handler = handle_crash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_ONSTACK);
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(number, &action, nullptr);
}

void note_seed(std::uint64_t seed) {
  t_seed = seed;
}

SignalStack::SignalStack() {
  stack_t present{};
  // ASan has given each thread one, and takes back what it finds at the thread's end.
  if (sigaltstack(nullptr, &present) != 0 || (present.ss_flags & SS_DISABLE) == 0) return;
  stack_t own{};
  own.ss_sp = bytes_;
  own.ss_size = sizeof bytes_;
  installed_ = sigaltstack(&own, nullptr) == 0;
}

SignalStack::~SignalStack() {
  if (!installed_) return;
  stack_t none{};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
}

}  // namespace culvert::sim
