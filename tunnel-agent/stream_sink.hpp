// Where accepted connections go: the data path implements it, listeners know nothing else of it.
#pragma once

#include "tunnel-agent/forward.hpp"

namespace culvert {

class StreamSink {
 public:
  virtual ~StreamSink() = default;

  /// Takes over an accepted connection, on the thread of the listener's io_context.
  /// @param fd       non-blocking, close-on-exec, tuned as a local socket; the sink's from here on.
  /// @param forward  valid during the call.
  virtual void accept(int fd, const Forward& forward, SourceAddress source) = 0;
};

}  // namespace culvert
