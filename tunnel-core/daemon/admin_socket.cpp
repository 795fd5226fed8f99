// The daemon's end of DIR/admin.sock: one thread that polls the listener and every caller, and serves one
// request at a time. Callers are few and trusted (root or ourselves), but any of them may be broken.
#include "tunnel-core/daemon/admin_socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "tunnel-core/daemon/admin_address.hpp"
#include "tunnel-core/daemon/admin_message.hpp"
#include "tunnel-core/obs/signal_mask.hpp"

namespace culvert {

namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kMaxCallers = 32;
constexpr Duration kAcceptPause = 100ms;  ///< After accept() failed, for want of descriptors say.

struct Caller {
  UniqueFd fd;
  unsigned uid = 0;
  Instant heard;         ///< When it last sent or took a byte.
  std::string in;        ///< Not yet a whole line, or lines that wait for their turn.
  std::string out;       ///< Answer not yet taken.
  bool no_more = false;  ///< It has finished sending, or sent too much: close after the answer.
  bool finished = false;

  bool has_request() const { return out.empty() && in.find('\n') != std::string::npos; }
};

class AdminServer final : public AdminSocket {
 public:
  AdminServer(AdminAddress address, UniqueFd listener, UniqueFd stop, AdminHandler handler, Duration silence)
      : address_(std::move(address)),
        listener_(std::move(listener)),
        stop_(std::move(stop)),
        handler_(std::move(handler)),
        silence_(silence),
        thread_([this] { run(); }) {}
  ~AdminServer() override;

 private:
  void run();
  int poll_timeout(Instant now) const;
  void accept_callers(Instant now);
  void receive(Caller& caller, Instant now);
  void serve(Caller& caller);
  void send(Caller& caller, Instant now);
  Result<nlohmann::json> answer(const Caller& caller, std::string_view line) const;

  AdminAddress address_;
  UniqueFd listener_;
  UniqueFd stop_;
  AdminHandler handler_;
  Duration silence_;
  std::vector<Caller> callers_;
  Instant accept_again_{};
  std::thread thread_;
};

AdminServer::~AdminServer() {
  const std::uint64_t one = 1;
  static_cast<void>(::write(stop_.value(), &one, sizeof one) < 0);
  thread_.join();
  ::unlinkat(address_.directory(), kAdminSocketName, 0);
}

/// Wait; stop if asked; take new callers; read from all; serve one request of each; write; drop who is done
/// or silent.
void AdminServer::run() {
  for (;;) {
    const bool accepting = callers_.size() < kMaxCallers && SteadyClock::now() >= accept_again_;
    std::vector<pollfd> polled{{stop_.value(), POLLIN, 0}, {accepting ? listener_.value() : -1, POLLIN, 0}};
    for (const Caller& caller : callers_) {
      const short events = caller.out.empty() ? POLLIN : POLLOUT;
      polled.push_back({caller.fd.value(), events, 0});
    }
    if (::poll(polled.data(), polled.size(), poll_timeout(SteadyClock::now())) < 0) continue;
    if (polled[0].revents != 0) return;

    const Instant now = SteadyClock::now();
    for (std::size_t i = 0; i < callers_.size(); ++i) {
      if (polled[i + 2].revents == 0) continue;
      if (callers_[i].out.empty()) {
        receive(callers_[i], now);
      } else {
        send(callers_[i], now);
      }
    }
    for (Caller& caller : callers_) {
      if (!caller.has_request()) continue;
      serve(caller);
      send(caller, SteadyClock::now());
    }
    std::erase_if(callers_, [&](const Caller& caller) {
      const bool done = caller.no_more && caller.out.empty() && !caller.has_request();
      return caller.finished || done || now - caller.heard >= silence_;
    });
    if (polled[1].revents != 0) accept_callers(SteadyClock::now());
  }
}

int AdminServer::poll_timeout(Instant now) const {
  Instant wake = Instant::max();
  for (const Caller& caller : callers_) {
    if (caller.has_request()) return 0;
    wake = std::min(wake, caller.heard + silence_);
  }
  if (now < accept_again_) wake = std::min(wake, accept_again_);
  if (wake == Instant::max()) return -1;
  return static_cast<int>(
      std::max<std::int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(wake - now).count()));
}

void AdminServer::accept_callers(Instant now) {
  while (callers_.size() < kMaxCallers) {
    UniqueFd fd{::accept4(listener_.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!fd) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      // Out of descriptors the listener stays readable: without a pause we would spin.
      if (errno != EAGAIN) accept_again_ = now + kAcceptPause;
      return;
    }
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd.value(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) continue;
    if (peer.uid != 0 && peer.uid != ::geteuid()) continue;
    Caller caller;
    caller.fd = std::move(fd);
    caller.uid = peer.uid;
    caller.heard = now;
    callers_.push_back(std::move(caller));
  }
}

void AdminServer::receive(Caller& caller, Instant now) {
  char buffer[65536];
  const ssize_t n = ::recv(caller.fd.value(), buffer, sizeof buffer, 0);
  if (n > 0) {
    caller.heard = now;
    caller.in.append(buffer, static_cast<std::size_t>(n));
    if (caller.in.size() > kMaxAdminRequest && caller.in.find('\n') > kMaxAdminRequest) {
      caller.in.clear();
      caller.no_more = true;
      caller.out = encode_answer(
          Error{Errc::UsageInvalid, fmt::format("a request may have at most {} bytes", kMaxAdminRequest)});
    }
  } else if (n == 0) {
    caller.no_more = true;  // It may have closed only its sending half: what it asked is still answered.
  } else if (errno != EAGAIN && errno != EINTR) {
    caller.finished = true;
  }
}

void AdminServer::serve(Caller& caller) {
  const std::size_t end = caller.in.find('\n');
  const std::string line = caller.in.substr(0, end);
  caller.in.erase(0, end + 1);
  caller.out = encode_answer(answer(caller, line));
}

Result<nlohmann::json> AdminServer::answer(const Caller& caller, std::string_view line) const {
  auto request = decode_request(line);
  if (!request) return std::move(request).error();
  request->caller_uid = caller.uid;
  try {
    return handler_(*request);
  } catch (const nlohmann::json::exception& error) {
    // An argument that is missing or of another type than the handler took it for.
    return Error{Errc::UsageInvalid, fmt::format("{}: an argument is missing or of the wrong type: {}",
                                                 request->command, error.what())};
  } catch (const std::exception& error) {
    return Error{Errc::InternalError, fmt::format("{} failed: {}", request->command, error.what())};
  }
}

void AdminServer::send(Caller& caller, Instant now) {
  const ssize_t n = ::send(caller.fd.value(), caller.out.data(), caller.out.size(), MSG_NOSIGNAL);
  if (n >= 0) {
    caller.heard = now;
    caller.out.erase(0, static_cast<std::size_t>(n));
  } else if (errno != EAGAIN && errno != EINTR) {
    caller.finished = true;
  }
}

Error listen_error(const fs::path& dir, int error) {
  return {error == ENOSPC ? Errc::DiskFull : Errc::IoFailed,
          fmt::format("cannot listen on {}: {}; make {} writable for this user",
                      (dir / kAdminSocketName).string(), std::strerror(error), dir.string())};
}

/// Removes what a killed daemon left; refuses to take the place of a living one or of some other file.
Result<void> clear_place(const fs::path& dir, const AdminAddress& address) {
  const std::string name = (dir / kAdminSocketName).string();
  struct stat status {};
  if (::fstatat(address.directory(), kAdminSocketName, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return listen_error(dir, errno);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return Error{Errc::AlreadyExists, fmt::format("{} is not a socket; move it away", name)};
  }
  const UniqueFd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!probe) return listen_error(dir, errno);
  // EAGAIN is a living listener too, with a full queue.
  if (::connect(probe.value(), address.data(), address.size()) == 0 || errno == EAGAIN) {
    return Error{Errc::InUse, fmt::format("another daemon answers on {}; stop it first", name)};
  }
  if (::unlinkat(address.directory(), kAdminSocketName, 0) != 0 && errno != ENOENT)
    return listen_error(dir, errno);
  return {};
}

}  // namespace

Result<std::unique_ptr<AdminSocket>> AdminSocket::listen(const fs::path& dir, AdminHandler handler,
                                                         Duration silence) {
  auto address = AdminAddress::of(dir);
  if (!address) return std::move(address).error();
  if (auto cleared = clear_place(dir, *address); !cleared) return std::move(cleared).error();

  UniqueFd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  UniqueFd stop{::eventfd(0, EFD_CLOEXEC)};
  if (!listener || !stop) return listen_error(dir, errno);
  // Before bind(): Linux gives the file the socket's own mode, so it never exists with a wider one.
  if (::fchmod(listener.value(), 0600) != 0 ||
      ::bind(listener.value(), address->data(), address->size()) != 0 ||
      ::listen(listener.value(), SOMAXCONN) != 0) {
    return listen_error(dir, errno);
  }

  const AllSignalsBlocked in_its_thread;
  return std::unique_ptr<AdminSocket>{std::make_unique<AdminServer>(
      *std::move(address), std::move(listener), std::move(stop), std::move(handler), silence)};
}

}  // namespace culvert
