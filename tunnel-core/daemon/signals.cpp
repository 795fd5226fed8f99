#include "tunnel-core/daemon/signals.hpp"

#include <pthread.h>

namespace culvert {

void ignore_file_size_signal() {
  std::signal(SIGXFSZ, SIG_IGN);
}

SignalsDeferred::SignalsDeferred() {
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&ends, signal);
  ::pthread_sigmask(SIG_BLOCK, &ends, &before_);
}

SignalsDeferred::~SignalsDeferred() {
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace culvert
