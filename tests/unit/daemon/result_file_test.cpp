#include "tunnel-core/daemon/result_file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "tests/support/process_limits.hpp"
#include "tests/support/temp_dir.hpp"
#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/files.hpp"
#include "tunnel-core/daemon/signals.hpp"

namespace culvert {
namespace {

namespace fs = std::filesystem;

std::size_t entries_in(const fs::path& dir) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator{dir}, fs::directory_iterator{}));
}

TEST_CASE("Result file: it is written at the end of its links, which stay", "[daemon]") {
  const TempDir dir;
  fs::create_directory(dir.path() / "real");
  fs::create_symlink("real/out.vib", dir.path() / "link");
  fs::create_symlink(dir.path() / "link", dir.path() / "second");
  for (const char* content : {"new", "newer"}) {
    REQUIRE(write_result(dir.path() / "second", content));
    REQUIRE(content_of(dir.path() / "real" / "out.vib") == content);
  }
  REQUIRE(fs::is_symlink(dir.path() / "link"));
  REQUIRE(fs::is_symlink(dir.path() / "second"));
  REQUIRE(entries_in(dir.path() / "real") == 1);
  REQUIRE(write_result(dir.path() / "plain", "x"));
  REQUIRE(content_of(dir.path() / "plain") == "x");
  fs::create_symlink("loop", dir.path() / "loop");
  REQUIRE(write_result(dir.path() / "loop", "x").error().code() == Errc::IoFailed);
}

TEST_CASE("Result file: it goes into a FIFO or a device, which stay what they are", "[daemon]") {
  const TempDir dir;
  const auto fifo = dir.path() / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const UniqueFd reader{::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  REQUIRE(write_result(fifo, "through"));
  char buffer[16];
  REQUIRE(::read(reader.value(), buffer, sizeof buffer) == 7);
  REQUIRE(fs::is_fifo(fifo));

  fs::create_symlink("/dev/full", dir.path() / "full");
  REQUIRE(write_result(dir.path() / "full", "x").error().code() == Errc::DiskFull);
  REQUIRE(fs::is_character_file(dir.path() / "full"));
  REQUIRE(write_result("/dev/null", "x"));
  REQUIRE(fs::is_character_file("/dev/null"));
  REQUIRE(write_result(dir.path(), "x").error().code() == Errc::AlreadyExists);
}

TEST_CASE("Files: an end that is asked for waits until a file is whole", "[daemon]") {
  const TempDir dir;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) {
    const auto file = dir.path() / std::to_string(signal);
    const pid_t child = ::fork();
    if (child == 0) {
      const rlimit no_core{0, 0};  // QUIT would leave one in the folder of the tests.
      ::setrlimit(RLIMIT_CORE, &no_core);
      {
        const SignalsDeferred deferred;
        ::raise(signal);
        if (!write_file(file, "whole", 0600)) ::_exit(1);
      }
      ::_exit(2);  // The signal was lost.
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == signal);
    REQUIRE(content_of(file) == "whole");
  }
  REQUIRE(entries_in(dir.path()) == 4);
}

}  // namespace
}  // namespace culvert
