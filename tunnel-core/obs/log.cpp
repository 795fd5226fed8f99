#include "tunnel-core/obs/log.hpp"

#include <spdlog/async.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "tunnel-core/obs/log_line.hpp"
#include "tunnel-core/obs/log_sink.hpp"
#include "tunnel-core/obs/signal_mask.hpp"

namespace culvert {

namespace {

constexpr std::size_t kMaxSizeMib = 1024;
constexpr std::size_t kMaxFiles = 100;
constexpr std::size_t kQueuedLines = 4096;  ///< About 350 bytes each, reserved at the start.

/// JOURNAL_STREAM is inherited, a redirected stderr is not the journal any more: the numbers must match
/// (systemd.exec(5)).
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

Result<spdlog::level::level_enum> level_of(std::string_view name) {
  if (name == "trace") return spdlog::level::trace;
  if (name == "debug") return spdlog::level::debug;
  if (name == "info") return spdlog::level::info;
  if (name == "warning") return spdlog::level::warn;
  if (name == "error") return spdlog::level::err;
  return Error{Errc::ConfigInvalid,
               fmt::format("log.level is \"{}\", must be trace, debug, info, warning or error", name)};
}

Result<void> check_ranges(const LogConfig& config) {
  if (config.format != "text" && config.format != "json") {
    return Error{Errc::ConfigInvalid,
                 fmt::format("log.format is \"{}\", must be text or json", config.format)};
  }
  if (config.max_size_mib < 1 || config.max_size_mib > kMaxSizeMib) {
    return Error{Errc::ConfigInvalid, fmt::format("log.max_size_mib is {}, must be between 1 and {}",
                                                  config.max_size_mib, kMaxSizeMib)};
  }
  if (config.max_files < 1 || config.max_files > kMaxFiles) {
    return Error{Errc::ConfigInvalid,
                 fmt::format("log.max_files is {}, must be between 1 and {}", config.max_files, kMaxFiles)};
  }
  return {};
}

LogStyle style_of(const LogConfig& config, bool journal) {
  if (config.format == "json") return journal ? LogStyle::JournalJson : LogStyle::Json;
  return journal ? LogStyle::Journal : LogStyle::Text;
}

}  // namespace

Result<void> start_logging(const LogConfig& config) {
  const auto level = level_of(config.level);
  if (!level) return level.error();
  if (auto checked = check_ranges(config); !checked) return checked;

  spdlog::sink_ptr sink;
  bool journal = false;
  if (config.file.empty()) {
    sink = std::make_shared<StderrSink>();
    journal = stderr_is_journal();
  } else {
    auto file =
        RotatingFileSink::open(config.file, std::uint64_t{config.max_size_mib} << 20, config.max_files);
    if (!file) return std::move(file).error();
    sink = *std::move(file);
  }
  sink->set_formatter(std::make_unique<LogLine>(style_of(config, journal)));

  // A reader of our stderr that goes away must not end the daemon.
  std::signal(SIGPIPE, SIG_IGN);
  {
    const AllSignalsBlocked in_its_thread;
    spdlog::init_thread_pool(kQueuedLines, 1);
  }
  const auto pool = spdlog::thread_pool();
  auto logger = std::make_shared<spdlog::async_logger>(
      "culvert", std::make_shared<LossNotingSink>(std::move(sink), *pool), pool,
      spdlog::async_overflow_policy::overrun_oldest);
  logger->set_level(*level);
  spdlog::set_default_logger(std::move(logger));
  return {};
}

void stop_logging() {
  const auto logger = spdlog::default_logger();
  const auto* queued =
      logger->sinks().empty() ? nullptr : dynamic_cast<LossNotingSink*>(logger->sinks().front().get());
  if (queued == nullptr) return;
  auto direct = std::make_shared<spdlog::logger>("culvert", queued->inner());
  direct->set_level(logger->level());
  spdlog::set_default_logger(std::move(direct));
  // With its pool the queue ends, after what is in it has been written.
  spdlog::details::registry::instance().set_tp(nullptr);
}

}  // namespace culvert
