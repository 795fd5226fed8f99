#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>

#include "tests/support/process_limits.hpp"
#include "tests/support/temp_dir.hpp"
#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/cli.hpp"
#include "tunnel-core/daemon/process.hpp"

namespace culvert {
namespace {

TEST_CASE("Process: the file limit rises to its hard limit", "[daemon]") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit low{64, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);

  REQUIRE(raise_file_limit() == before.rlim_max);

  rlimit after{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &after) == 0);
  REQUIRE(after.rlim_cur == before.rlim_max);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

TEST_CASE("Process: random bytes are as many as asked for and differ", "[daemon]") {
  REQUIRE(random_bytes(0).empty());
  REQUIRE(random_bytes(1000).size() == 1000);
  REQUIRE(random_bytes(32) != random_bytes(32));
}

TEST_CASE("Process: hexadecimal goes there and back and refuses what is none", "[daemon]") {
  const Bytes bytes{std::byte{0x00}, std::byte{0x4d}, std::byte{0xff}};
  REQUIRE(to_hex(bytes) == "004dff");
  REQUIRE(*from_hex("004DfF") == bytes);
  REQUIRE(from_hex("")->empty());
  for (const char* bad : {"0", "0g", "g0", "0x", " 0", "00 "})
    REQUIRE(from_hex(bad).error().code() == Errc::UsageInvalid);
}

TEST_CASE("Process: a hidden argument holds nothing of what it was", "[daemon]") {
  char argument[] = "culvert-join-secret";
  hide_argument(argument);
  REQUIRE(std::string_view{argument, sizeof argument}.find_first_not_of('\0') == std::string_view::npos);
}

/// Stands for systemd: receives what is told to NOTIFY_SOCKET.
class FakeSystemd {
 public:
  FakeSystemd() : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const std::string path = (dir_.path() / "notify").string();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(fd_.value(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~FakeSystemd() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
  }

  std::string heard() const {
    char buffer[256];
    const ssize_t n = ::recv(fd_.value(), buffer, sizeof buffer, 0);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : "";
  }

 private:
  TempDir dir_;
  UniqueFd fd_;
};

TEST_CASE("Process: systemd hears ready, status, watchdog and stopping", "[daemon]") {
  const FakeSystemd systemd;

  notify_ready();
  REQUIRE(systemd.heard() == "READY=1");
  notify_status("3 sites\nMAINPID=1");
  REQUIRE(systemd.heard() == "STATUS=3 sites MAINPID=1");
  notify_alive();
  REQUIRE(systemd.heard() == "WATCHDOG=1");
  notify_stopping();
  REQUIRE(systemd.heard() == "STOPPING=1");
}

TEST_CASE("Process: the watchdog is asked for at half of its time, and not at all without one", "[daemon]") {
  REQUIRE(watchdog_interval() == Duration::zero());
  const FakeSystemd systemd;
  ::setenv("WATCHDOG_USEC", "10000000", 1);
  REQUIRE(watchdog_interval() == 5s);
}

TEST_CASE("Command line: an error is one line, and its exit code tells wrong usage from failure",
          "[daemon]") {
  const TempDir dir;
  StderrCapture captured{dir.path() / "stderr"};

  const int usage =
      report_error("culvert-agent", Error{Errc::ConfigInvalid, "port is 0\nnow"}.at("read", "a.toml"));
  const int unsafe = report_error("culvert-agent", Error{Errc::FileUnsafe, "key"});
  const int joining = report_error("culvert-agent", Error{Errc::JoiningStringInvalid, "cut short"});
  const int failed = report_error("culvert-agent", Error{Errc::PortInUse, "port 10000 is taken"});

  REQUIRE(captured.text() ==
          "culvert-agent: port is 0\\nnow (read a.toml)\nculvert-agent: key\nculvert-agent: cut short\n"
          "culvert-agent: port 10000 is taken\n");
  REQUIRE(usage == kExitUsage);
  REQUIRE(unsafe == kExitUsage);
  REQUIRE(joining == kExitUsage);
  REQUIRE(failed == kExitFailed);
}

}  // namespace
}  // namespace culvert
