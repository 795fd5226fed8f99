// The command's end of DIR/admin.sock.
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "tunnel-core/daemon/admin_address.hpp"
#include "tunnel-core/daemon/admin_message.hpp"
#include "tunnel-core/daemon/admin_socket.hpp"
#include "tunnel-core/daemon/data_dir.hpp"

namespace culvert {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kMaxAnswer = std::size_t{256} << 20;
constexpr Duration kRetry = 50ms;

/// One call: connect, send a line, read a line, all before `deadline`.
class AdminCall {
 public:
  AdminCall(const fs::path& dir, Instant deadline) : dir_(dir), deadline_(deadline) {}

  Result<json> run(const AdminRequest& request);

 private:
  Result<void> connect();
  Result<void> send(std::string_view line);
  Result<std::string> receive_line();
  Result<void> wait(short events);
  Error timed_out() const;

  fs::path dir_;
  Instant deadline_;
  UniqueFd fd_;
};

Result<json> AdminCall::run(const AdminRequest& request) {
  const std::string line = encode_request(request);
  if (line.size() > kMaxAdminRequest) {
    return Error{Errc::UsageInvalid, fmt::format("the request has {} bytes, at most {} are allowed",
                                                 line.size(), kMaxAdminRequest)};
  }
  if (auto connected = connect(); !connected) return std::move(connected).error();
  if (auto sent = send(line); !sent) return std::move(sent).error();
  const auto answer = receive_line();
  if (!answer) return answer.error();
  return decode_answer(*answer);
}

Result<void> AdminCall::connect() {
  const auto address = AdminAddress::of(dir_);
  if (!address) return address.error();
  fd_ = UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!fd_) return Error{Errc::IoFailed, fmt::format("cannot open a socket: {}", std::strerror(errno))};
  while (::connect(fd_.value(), address->data(), address->size()) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {
      // The daemon's queue of callers is full, and poll() cannot wait for that.
      if (SteadyClock::now() >= deadline_) return timed_out();
      std::this_thread::sleep_for(kRetry);
      continue;
    }
    if (error == EACCES || error == EPERM) {
      return Error{Errc::Forbidden,
                   fmt::format("only root and the daemon's own user may use {}; run as one of them",
                               (dir_ / kAdminSocketName).string())};
    }
    return Error{Errc::DaemonUnreachable,
                 fmt::format("no daemon answers on {}: {}; start it first",
                             (dir_ / kAdminSocketName).string(), std::strerror(error))};
  }
  return {};
}

Result<void> AdminCall::send(std::string_view line) {
  while (!line.empty()) {
    const ssize_t n = ::send(fd_.value(), line.data(), line.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      line.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      if (auto ready = wait(POLLOUT); !ready) return ready;
    } else if (errno != EINTR) {
      return {};  // It closed early; its reason, if it gave one, is there to be read.
    }
  }
  return {};
}

Result<std::string> AdminCall::receive_line() {
  std::string line;
  char buffer[65536];
  while (line.size() < kMaxAnswer) {
    const ssize_t n = ::recv(fd_.value(), buffer, sizeof buffer, 0);
    if (n > 0) {
      line.append(buffer, static_cast<std::size_t>(n));
      if (line.back() == '\n') return line;
    } else if (n < 0 && errno == EAGAIN) {
      if (auto ready = wait(POLLIN); !ready) return std::move(ready).error();
    } else if (n == 0 || errno != EINTR) {
      return Error{Errc::ReplyInvalid,
                   fmt::format("the daemon on {} closed the call without an answer (it may be stopping); "
                               "look whether the change was made, then repeat it",
                               dir_.string())};
    }
  }
  return Error{Errc::ReplyInvalid, fmt::format("the daemon's answer is longer than {} bytes", kMaxAnswer)};
}

Result<void> AdminCall::wait(short events) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - SteadyClock::now());
  if (left.count() <= 0) return timed_out();
  pollfd ready{fd_.value(), events, 0};
  ::poll(&ready, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
  return {};
}

Error AdminCall::timed_out() const {
  return {Errc::TimedOut,
          fmt::format(
              "the daemon on {} did not answer in time (is it stopped or overloaded?); look at its log, then "
              "whether the change was made",
              dir_.string())};
}

}  // namespace

Result<json> admin_call(const fs::path& dir, const AdminRequest& request, Duration timeout) {
  return AdminCall{dir, SteadyClock::now() + timeout}.run(request);
}

Result<json> admin_call_or(const fs::path& dir, const AdminRequest& request, const AdminHandler& offline,
                           Duration patience) {
  const Instant deadline = SteadyClock::now() + patience;
  for (;;) {
    auto answer = admin_call(dir, request);
    if (answer || answer.error().code() != Errc::DaemonUnreachable) return answer;

    auto lock = DataDirLock::acquire(dir);
    if (lock) {
      AdminRequest own = request;
      own.caller_uid = ::getuid();
      return offline(own);
    }
    // Held, but silent: a daemon between taking the lock and listening, or another command at work.
    if (lock.error().code() != Errc::InUse || SteadyClock::now() >= deadline) return std::move(lock).error();
    std::this_thread::sleep_for(kRetry);
  }
}

}  // namespace culvert
