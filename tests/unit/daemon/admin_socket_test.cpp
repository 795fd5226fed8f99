#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "tests/support/process_limits.hpp"
#include "tests/support/temp_dir.hpp"
#include "tunnel-core/daemon/admin_address.hpp"
#include "tunnel-core/daemon/admin_socket.hpp"
#include "tunnel-core/daemon/data_dir.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

Result<json> echo(const AdminRequest& request) {
  if (request.command == "refuse") return Error{Errc::NotFound, "no such target"}.at("remove", "dr-db");
  if (request.command == "name") return json(request.arguments.at("name").get<std::string>());
  if (request.command == "throw") throw std::runtime_error("out of luck");
  if (request.command == "large")
    return json(std::string(request.arguments.at("bytes").get<std::size_t>(), 'x'));
  return json{{"command", request.command}, {"arguments", request.arguments}, {"uid", request.caller_uid}};
}

/// A daemon on a directory of its own.
struct Daemon {
  explicit Daemon(Duration silence = 10s) { start(silence); }
  void start(Duration silence) {
    auto listening = AdminSocket::listen(dir.path(), echo, silence);
    REQUIRE(listening);
    socket = *std::move(listening);
  }
  bool answers() const { return admin_call(dir.path(), {.command = "ping", .arguments = {}}).has_value(); }

  TempDir dir;
  std::unique_ptr<AdminSocket> socket;
};

/// A caller without manners.
class RawCaller {
 public:
  explicit RawCaller(const fs::path& dir) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const auto address = AdminAddress::of(dir);
    REQUIRE(address);
    REQUIRE(::connect(fd_.value(), address->data(), address->size()) == 0);
    const timeval patience{20, 0};
    ::setsockopt(fd_.value(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  void send(std::string_view text) const { ::send(fd_.value(), text.data(), text.size(), MSG_NOSIGNAL); }
  void finish_sending() const { ::shutdown(fd_.value(), SHUT_WR); }
  bool closed_by_daemon() const {
    char byte = 0;
    return ::recv(fd_.value(), &byte, 1, 0) == 0;
  }
  json answer() const {
    std::string line;
    char byte = 0;
    while (::recv(fd_.value(), &byte, 1, 0) == 1 && byte != '\n') line += byte;
    return json::parse(line, nullptr, false);
  }

 private:
  UniqueFd fd_;
};

TEST_CASE("Admin socket: a request reaches the handler with arguments and caller, its result comes back",
          "[daemon]") {
  const Daemon daemon;
  const auto answer =
      admin_call(daemon.dir.path(), {.command = "target.add", .arguments = {{"name", "dr-db"}}});
  REQUIRE(answer);
  REQUIRE(*answer ==
          json{{"command", "target.add"}, {"arguments", {{"name", "dr-db"}}}, {"uid", ::getuid()}});
}

TEST_CASE("Admin socket: an error comes back with its number and its trail", "[daemon]") {
  const Daemon daemon;
  const auto answer = admin_call(daemon.dir.path(), {.command = "refuse", .arguments = {}});
  REQUIRE(answer.error().code() == Errc::NotFound);
  REQUIRE(answer.error().message() == "no such target (remove dr-db)");
}

TEST_CASE("Admin socket: a handler that throws answers with an error and serves the next", "[daemon]") {
  const Daemon daemon;
  REQUIRE(admin_call(daemon.dir.path(), {.command = "name", .arguments = {{"name", 7}}}).error().code() ==
          Errc::UsageInvalid);
  REQUIRE(admin_call(daemon.dir.path(), {.command = "throw", .arguments = {}}).error().code() ==
          Errc::InternalError);
  REQUIRE(daemon.answers());
}

TEST_CASE("Admin socket: it is for its owner only, and gone when the daemon stops", "[daemon]") {
  Daemon daemon;
  struct stat status {};
  REQUIRE(::stat((daemon.dir.path() / "admin.sock").c_str(), &status) == 0);
  REQUIRE((status.st_mode & 07777) == 0600);

  daemon.socket.reset();

  REQUIRE_FALSE(fs::exists(daemon.dir.path() / "admin.sock"));
  REQUIRE(admin_call(daemon.dir.path(), {.command = "ping", .arguments = {}}).error().code() ==
          Errc::DaemonUnreachable);
}

TEST_CASE("Admin socket: another user is refused by the file, and by the daemon should the file be open",
          "[daemon]") {
  if (::geteuid() != 0) return;  // Only root can be somebody else.
  const Daemon daemon;
  const auto as_nobody = [&] {
    return in_child_without_privileges([&] {
      const auto answer = admin_call(daemon.dir.path(), {.command = "ping", .arguments = {}});
      if (answer) return 0;
      return answer.error().code() == Errc::Forbidden      ? 1
             : answer.error().code() == Errc::ReplyInvalid ? 2
                                                           : 3;
    });
  };
  REQUIRE(as_nobody() == 1);

  fs::permissions(daemon.dir.path(), fs::perms{0755});
  fs::permissions(daemon.dir.path() / "admin.sock", fs::perms{0666});
  REQUIRE(as_nobody() == 2);
  REQUIRE(daemon.answers());
}

TEST_CASE("Admin socket: a directory whose name is longer than a socket address works", "[daemon]") {
  const TempDir dir;
  const fs::path deep = dir.path() / std::string(200, 'a') / std::string(200, 'b');
  fs::create_directories(deep);
  const auto socket = AdminSocket::listen(deep, echo);
  REQUIRE(socket);
  REQUIRE(admin_call(deep, {.command = "ping", .arguments = {}}));
  REQUIRE(fs::is_socket(deep / "admin.sock"));
}

TEST_CASE("Admin socket: what a killed daemon left is replaced, a living daemon is not", "[daemon]") {
  const TempDir dir;
  {
    const UniqueFd left{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const auto address = AdminAddress::of(dir.path());
    REQUIRE(::bind(left.value(), address->data(), address->size()) == 0);
  }
  REQUIRE(admin_call(dir.path(), {.command = "ping", .arguments = {}}).error().code() ==
          Errc::DaemonUnreachable);

  const auto socket = AdminSocket::listen(dir.path(), echo);
  REQUIRE(socket);
  REQUIRE(AdminSocket::listen(dir.path(), echo).error().code() == Errc::InUse);
  REQUIRE(admin_call(dir.path(), {.command = "ping", .arguments = {}}));
}

TEST_CASE("Admin socket: a file that is no socket is not removed", "[daemon]") {
  const TempDir dir;
  REQUIRE(write_file(dir.path() / "admin.sock", "precious", 0600));
  REQUIRE(AdminSocket::listen(dir.path(), echo).error().code() == Errc::AlreadyExists);
  REQUIRE(content_of(dir.path() / "admin.sock") == "precious");
}

TEST_CASE("Admin socket: garbage gets an error, and the same caller may go on", "[daemon]") {
  const Daemon daemon;
  const RawCaller caller{daemon.dir.path()};
  for (const char* garbage : {"GET / HTTP/1.1\r\n", "\n", "{}\n", "[1,2]\n", "\xff\xfe{\n",
                              "{\"command\":7}\n", "{\"command\":\"x\",\"arguments\":[]}\n"}) {
    CAPTURE(garbage);
    caller.send(garbage);
    REQUIRE(caller.answer()["error"]["code"] == "usage_invalid");
  }
  caller.send("{\"command\":\"ping\"}\n{\"command\":\"pong\"}\n");
  REQUIRE(caller.answer()["result"]["command"] == "ping");
  REQUIRE(caller.answer()["result"]["command"] == "pong");
}

TEST_CASE("Admin socket: deeply nested garbage and random bytes do not disturb the next caller", "[daemon]") {
  const Daemon daemon;
  const RawCaller nested{daemon.dir.path()};
  nested.send(std::string(500'000, '[') + "\n");
  REQUIRE(nested.answer()["ok"] == false);
  const RawCaller zeros{daemon.dir.path()};
  zeros.send(std::string(100'000, '\0') + "\n");
  REQUIRE(zeros.answer()["ok"] == false);
  REQUIRE(daemon.answers());
}

TEST_CASE("Admin socket: a request without end is cut off at 1 MiB", "[daemon]") {
  const Daemon daemon;
  const RawCaller caller{daemon.dir.path()};
  caller.send(std::string(kMaxAdminRequest + 1, 'x'));
  REQUIRE(caller.answer()["error"]["code"] == "usage_invalid");
  REQUIRE(caller.closed_by_daemon());
  REQUIRE(admin_call(daemon.dir.path(),
                     {.command = "name", .arguments = {{"name", std::string(kMaxAdminRequest, 'n')}}})
              .error()
              .code() == Errc::UsageInvalid);
  REQUIRE(daemon.answers());
}

TEST_CASE("Admin socket: callers that leave at any point do not disturb the next", "[daemon]") {
  const Daemon daemon;
  for (const char* said : {"", "{\"comm", "{\"command\":\"ping\"}\n",
                           "{\"command\":\"large\",\"arguments\":{\"bytes\":9000000}}\n"}) {
    { RawCaller{daemon.dir.path()}.send(said); }
    REQUIRE(daemon.answers());
  }
}

TEST_CASE("Admin socket: a caller that closed its sending half still gets its answer", "[daemon]") {
  const Daemon daemon;
  const RawCaller caller{daemon.dir.path()};
  caller.send("{\"command\":\"ping\"}\n");
  caller.finish_sending();
  REQUIRE(caller.answer()["ok"] == true);
  REQUIRE(caller.closed_by_daemon());
}

TEST_CASE("Admin socket: an answer of many megabytes arrives whole", "[daemon]") {
  const Daemon daemon;
  const auto answer =
      admin_call(daemon.dir.path(), {.command = "large", .arguments = {{"bytes", 5'000'000}}});
  REQUIRE(answer);
  REQUIRE(answer->get<std::string>().size() == 5'000'000);
}

TEST_CASE("Admin socket: silent callers hold up nobody, however many", "[daemon]") {
  Daemon daemon{200ms};
  std::vector<RawCaller> silent;
  for (int i = 0; i < 40; ++i) silent.emplace_back(daemon.dir.path());
  REQUIRE(daemon.answers());
  REQUIRE(silent.front().closed_by_daemon());
}

TEST_CASE("Admin socket: a daemon that does not answer in time is reported as such", "[daemon]") {
  const TempDir dir;
  std::promise<void> release;
  auto released = release.get_future().share();
  auto socket = AdminSocket::listen(dir.path(), [released](const AdminRequest&) -> Result<json> {
    released.wait();
    return json();
  });
  REQUIRE(socket);
  REQUIRE(admin_call(dir.path(), {.command = "ping", .arguments = {}}, 50ms).error().code() ==
          Errc::TimedOut);
  release.set_value();
}

TEST_CASE("Admin call: without a daemon the work is done here, under the lock", "[daemon]") {
  const TempDir dir;
  const auto answer = admin_call_or(
      dir.path(), {.command = "org.add", .arguments = {}}, [&](const AdminRequest& request) -> Result<json> {
        return json{request.caller_uid, DataDirLock::acquire(dir.path()).error().code() == Errc::InUse};
      });
  REQUIRE(answer);
  REQUIRE(*answer == json{::getuid(), true});
  REQUIRE(DataDirLock::acquire(dir.path()));
  REQUIRE(
      admin_call_or(dir.path() / "absent", {.command = "org.add", .arguments = {}}, echo).error().code() ==
      Errc::NotFound);
}

TEST_CASE("Admin call: a daemon that is starting is waited for and then asked", "[daemon]") {
  const TempDir dir;
  const auto lock = DataDirLock::acquire(dir.path());
  REQUIRE(lock);
  std::atomic<bool> offline = false;
  auto answer = std::async(std::launch::async, [&] {
    return admin_call_or(dir.path(), {.command = "org.add", .arguments = {}},
                         [&](const AdminRequest&) -> Result<json> {
                           offline = true;
                           return json();
                         });
  });
  REQUIRE(answer.wait_for(150ms) == std::future_status::timeout);

  const auto socket = AdminSocket::listen(dir.path(), echo);

  REQUIRE(socket);
  const auto result = answer.get();
  REQUIRE(result);
  REQUIRE((*result)["command"] == "org.add");
  REQUIRE_FALSE(offline);
}

TEST_CASE("Admin call: a directory that stays locked and silent is reported with its holder", "[daemon]") {
  const TempDir dir;
  const auto lock = DataDirLock::acquire(dir.path());
  const auto answer = admin_call_or(dir.path(), {.command = "org.add", .arguments = {}}, echo, 100ms);
  REQUIRE(answer.error().code() == Errc::InUse);
  REQUIRE(answer.error().message().find(std::to_string(::getpid())) != std::string::npos);
}

}  // namespace
}  // namespace culvert
