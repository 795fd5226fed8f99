// The sink's side of streams that do nothing: ten thousand of them need no thread each.
#pragma once

#include "tunnel-core/base/unique_fd.hpp"

namespace culvert::bench {

class IdleKeeper {
 public:
  /// Starts the thread that keeps them, which ends with the program.
  IdleKeeper();

  /// Holds `fd` until its peer ends or breaks the stream; what it sends is dropped. Any thread.
  void keep(UniqueFd fd);

 private:
  void run();

  UniqueFd epoll_;
};

}  // namespace culvert::bench
