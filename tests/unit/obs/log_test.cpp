#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <regex>
#include <thread>

#include "tests/support/process_limits.hpp"
#include "tests/support/temp_dir.hpp"
#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/obs/log.hpp"
#include "tunnel-core/obs/log_line.hpp"
#include "tunnel-core/obs/log_sink.hpp"

namespace culvert {
namespace {

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// A logger on `sink` alone, so that a test does not disturb the default one.
spdlog::logger logger_on(spdlog::sink_ptr sink) {
  sink->set_formatter(std::make_unique<LogLine>(LogStyle::Journal));
  return spdlog::logger{"test", std::move(sink)};
}

/// Puts spdlog's default logger back.
struct KeepDefaultLogger {
  std::shared_ptr<spdlog::logger> before = spdlog::default_logger();
  ~KeepDefaultLogger() { spdlog::set_default_logger(before); }
};

TEST_CASE("Log: lines reach the file, those below the level do not", "[obs]") {
  const TempDir dir;
  const KeepDefaultLogger keep;
  const auto file = dir.path() / "agent.log";
  REQUIRE(start_logging({.level = "warning", .file = file}));

  spdlog::info("unheard");
  spdlog::warn("heard");
  stop_logging();

  REQUIRE(contains(content_of(file), "WARN  heard\n"));
  REQUIRE_FALSE(contains(content_of(file), "unheard"));
}

TEST_CASE("Log: values out of range are refused by name", "[obs]") {
  REQUIRE(start_logging({.level = "loud"}).error().message() ==
          "log.level is \"loud\", must be trace, debug, info, warning or error");
  REQUIRE(contains(start_logging({.format = "xml"}).error().message(), "log.format is \"xml\""));
  REQUIRE(contains(start_logging({.max_size_mib = 0}).error().message(), "between 1 and 1024"));
  REQUIRE(contains(start_logging({.max_files = 101}).error().message(), "between 1 and 100"));
}

TEST_CASE("Log: a file whose directory is missing is refused at the start", "[obs]") {
  const TempDir dir;
  const auto started = start_logging({.file = dir.path() / "absent" / "agent.log"});
  REQUIRE(started.error().code() == Errc::IoFailed);
  REQUIRE(contains(started.error().message(), "No such file or directory"));
}

TEST_CASE("Log: a file rotates by size and keeps the promised number of old ones", "[obs]") {
  const TempDir dir;
  const auto file = dir.path() / "agent.log";
  auto log = logger_on(*RotatingFileSink::open(file, 10, 2));

  for (const char* message : {"aaaaa", "bbbbb", "ccccc", "ddddd"}) log.info(message);

  REQUIRE(content_of(file) == "<6>ddddd\n");
  REQUIRE(content_of(file.string() + ".1") == "<6>ccccc\n");
  REQUIRE(content_of(file.string() + ".2") == "<6>bbbbb\n");
  REQUIRE_FALSE(std::filesystem::exists(file.string() + ".3"));
}

TEST_CASE("Log: while the disk is full lines go to stderr, then to the file again, and none is cut",
          "[obs]") {
  const TempDir dir;
  const auto file = dir.path() / "agent.log";
  auto log = logger_on(*RotatingFileSink::open(file, 1 << 20, 2));
  StderrCapture captured{dir.path() / "stderr"};

  log.info("before");
  {
    const FileSizeLimit full{200};
    log.info(std::string(300, 'x').c_str());
    log.info(std::string(301, 'y').c_str());
  }
  log.info("after");

  REQUIRE(content_of(file) == "<6>before\n<6>after\n");
  const std::string text = captured.text();
  REQUIRE(contains(text, "cannot write or rotate the log file"));
  REQUIRE(text.find("cannot write") == text.rfind("cannot write"));
}

TEST_CASE("Log: a device that is always full neither throws nor rotates", "[obs]") {
  const TempDir dir;
  StderrCapture captured{dir.path() / "stderr"};
  auto log = logger_on(*RotatingFileSink::open("/dev/full", 8, 2));

  log.info("first line");
  log.info("second line");

  const std::string text = captured.text();
  REQUIRE(contains(text, "No space left on device"));
  REQUIRE(contains(text, "<6>first line\n<6>second line\n"));
  REQUIRE(std::filesystem::exists("/dev/full"));
}

TEST_CASE("Log: a directory that goes away while we run costs no line", "[obs]") {
  const TempDir dir;
  const auto folder = dir.path() / "logs";
  std::filesystem::create_directory(folder);
  auto log = logger_on(*RotatingFileSink::open(folder / "agent.log", 10, 2));
  log.info("aaaaa");
  std::filesystem::remove_all(folder);
  StderrCapture captured{dir.path() / "stderr"};

  log.info("bbbbb");
  log.info("ccccc");

  const std::string text = captured.text();
  REQUIRE(contains(text, "<6>bbbbb\n"));
  REQUIRE(contains(text, "<6>ccccc\n"));
}

TEST_CASE("Log: the journal's form is used only when stderr is the journal", "[obs]") {
  const TempDir dir;
  const KeepDefaultLogger keep;
  StderrCapture captured{dir.path() / "stderr"};
  struct stat status {};
  REQUIRE(::fstat(STDERR_FILENO, &status) == 0);

  ::setenv("JOURNAL_STREAM", fmt::format("{}:{}", status.st_dev, status.st_ino).c_str(), 1);
  const bool journal = start_logging({}).has_value();
  spdlog::info("to the journal");
  stop_logging();
  ::setenv("JOURNAL_STREAM", "1:1", 1);
  const bool redirected = start_logging({}).has_value();
  spdlog::info("to a file");
  stop_logging();
  ::unsetenv("JOURNAL_STREAM");

  const std::string text = captured.text();
  REQUIRE(journal);
  REQUIRE(redirected);
  REQUIRE(contains(text, "<6>to the journal\n"));
  REQUIRE(contains(text, "INFO  to a file\n"));
}

TEST_CASE("Log: a stderr that takes nothing holds up nobody, and what was lost is counted", "[obs]") {
  constexpr int kLines = 20'000;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const KeepDefaultLogger keep;
  std::string text;
  {
    const UniqueFd stderr_before{::dup(STDERR_FILENO)};
    REQUIRE(::dup2(ends[1], STDERR_FILENO) >= 0);
    ::close(ends[1]);
    const bool started = start_logging({}).has_value();
    for (int i = 0; started && i < kLines; ++i) spdlog::info("line {}", i);

    std::thread stopping{[&] {
      stop_logging();
      ::dup2(stderr_before.value(), STDERR_FILENO);
    }};
    char buffer[65536];
    for (ssize_t n = 1; n > 0; text.append(buffer, static_cast<std::size_t>(n))) {
      n = std::max<ssize_t>(0, ::read(ends[0], buffer, sizeof buffer));
    }
    stopping.join();
    ::close(ends[0]);
    REQUIRE(started);
  }

  const std::regex note{R"(WARN  (\d+) log lines were lost here)"};
  int notes = 0;
  int lost = 0;
  for (std::sregex_iterator match{text.begin(), text.end(), note}, end; match != end; ++match, ++notes) {
    lost += std::stoi((*match)[1]);
  }
  REQUIRE(notes > 0);
  REQUIRE(std::count(text.begin(), text.end(), '\n') == kLines - lost + notes);
  REQUIRE(contains(text, fmt::format("line {}\n", kLines - 1)));
}

TEST_CASE("Log: a process that ends normally has written all it logged", "[obs]") {
  const TempDir dir;
  const auto file = dir.path() / "agent.log";
  const pid_t child = ::fork();
  if (child == 0) {
    if (!start_logging({.file = file})) ::_exit(1);
    for (int i = 0; i < 1000; ++i) spdlog::info("line {}", i);
    std::exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(status == 0);
  REQUIRE(contains(content_of(file), "line 999\n"));
}

TEST_CASE("Log: a stderr that nobody reads any more does not end the process", "[obs]") {
  const int exit_code = in_child_without_privileges([] {
    int ends[2];
    if (::pipe(ends) != 0 || ::dup2(ends[1], STDERR_FILENO) < 0) return 1;
    ::close(ends[0]);
    ::close(ends[1]);
    if (!start_logging({})) return 2;
    spdlog::error("into the void");
    stop_logging();
    return 0;
  });
  REQUIRE(exit_code == 0);
}

}  // namespace
}  // namespace culvert
