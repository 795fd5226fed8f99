// Blocking sockets with a deadline, for probes.
#pragma once

#include <string>
#include <string_view>

#include "tunnel-core/base/time.hpp"
#include "tunnel-core/base/unique_fd.hpp"

namespace culvert {

constexpr std::size_t kMostReplyBytes = 64 * 1024;

/// Waits for poll(2)'s `events`. @return false when the deadline passed first.
bool wait_for_socket(int fd, short events, Instant deadline);

/// Sends `request` and reads until the other end closes, its answer is complete, `kMostReplyBytes` are there
/// or the deadline passes. @return what came.
std::string exchange_plain(int fd, std::string_view request, Instant deadline);

/// True when `bytes` is an HTTP answer with as much body as its Content-Length says.
bool is_whole_reply(std::string_view bytes);

}  // namespace culvert
