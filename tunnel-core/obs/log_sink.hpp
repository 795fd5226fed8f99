// Where lines go: stderr, or a file that rotates by size and survives a full disk.
// spdlog's own rotating sink is not used: when it cannot reopen its file after a rotation, the next line
// writes through a null FILE*.
#pragma once

#include <spdlog/async.h>
#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "tunnel-core/base/result.hpp"

namespace culvert {

/// Writes all of `text` to `fd`, waiting where it must. Returns 0 or errno.
int write_all(int fd, std::string_view text) noexcept;

class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 private:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}
};

/// `agent.log`, rotated to `agent.log.1`, `agent.log.2` and so on. Lines that the file does not take go to
/// stderr, after one line there that says why; the file is tried again for every line.
class RotatingFileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  /// Opens the file, mode 0640.
  /// @error IoFailed. A full disk is none: lines go to stderr until there is room.
  static Result<std::shared_ptr<RotatingFileSink>> open(const std::filesystem::path& path,
                                                        std::uint64_t max_bytes, std::size_t max_files);
  ~RotatingFileSink() override;

 private:
  RotatingFileSink(const std::filesystem::path& path, std::uint64_t max_bytes, std::size_t max_files);

  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

  int open_file() noexcept;
  int append(std::string_view line) noexcept;
  void rotate();
  void report_once(int error);

  std::filesystem::path path_;
  std::uint64_t max_bytes_;
  std::size_t max_files_;
  int fd_ = -1;
  bool regular_ = true;  ///< A device or pipe is written to, but never rotated.
  std::uint64_t size_ = 0;
  std::uint64_t rotate_at_;
  bool failing_ = false;
};

/// Between the queue of the log's own thread and the sink proper: says how many lines the queue had to drop.
/// Used by the pool's threads alone, so that the pool outlives every call.
class LossNotingSink final : public spdlog::sinks::sink {
 public:
  LossNotingSink(spdlog::sink_ptr inner, spdlog::details::thread_pool& pool)
      : inner_(std::move(inner)), pool_(pool), lost_before_(pool.overrun_counter()) {}

  const spdlog::sink_ptr& inner() const { return inner_; }

  void log(const spdlog::details::log_msg& message) override;
  void flush() override { inner_->flush(); }
  void set_pattern(const std::string& pattern) override { inner_->set_pattern(pattern); }
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    inner_->set_formatter(std::move(formatter));
  }

 private:
  spdlog::sink_ptr inner_;
  spdlog::details::thread_pool& pool_;
  std::size_t lost_before_;
};

}  // namespace culvert
