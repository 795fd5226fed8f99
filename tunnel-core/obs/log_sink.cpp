#include "tunnel-core/obs/log_sink.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>

namespace culvert {

namespace {

bool is_full(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

std::string_view text_of(const spdlog::memory_buf_t& line) {
  return {line.data(), line.size()};
}

}  // namespace

int write_all(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (n < 0 && errno == EAGAIN) {
      // Somebody who shares our stderr made it non-blocking.
      pollfd writable{fd, POLLOUT, 0};
      ::poll(&writable, 1, 1000);
    } else if (n == 0 || errno != EINTR) {
      return n == 0 ? EIO : errno;
    }
  }
  return 0;
}

void StderrSink::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  formatter_->format(message, line);
  // Nowhere is left to complain when stderr itself fails.
  static_cast<void>(write_all(STDERR_FILENO, text_of(line)));
}

Result<std::shared_ptr<RotatingFileSink>> RotatingFileSink::open(const std::filesystem::path& path,
                                                                 std::uint64_t max_bytes,
                                                                 std::size_t max_files) {
  std::shared_ptr<RotatingFileSink> sink{new RotatingFileSink{path, max_bytes, max_files}};
  const int error = sink->open_file();
  if (error != 0 && !is_full(error)) {
    return Error{Errc::IoFailed,
                 fmt::format("cannot write the log file {}: {}; create its directory, make it writable "
                             "for this user, or change log.file",
                             path.string(), std::strerror(error))};
  }
  if (error != 0) sink->report_once(error);
  return sink;
}

RotatingFileSink::RotatingFileSink(const std::filesystem::path& path, std::uint64_t max_bytes,
                                   std::size_t max_files)
    : path_(path), max_bytes_(max_bytes), max_files_(max_files), rotate_at_(max_bytes) {}

RotatingFileSink::~RotatingFileSink() {
  if (fd_ >= 0) ::close(fd_);
}

void RotatingFileSink::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  formatter_->format(message, line);
  if (size_ > 0 && size_ + line.size() > rotate_at_) rotate();
  const int error = append(text_of(line));
  if (error == 0) {
    failing_ = false;
    return;
  }
  report_once(error);
  static_cast<void>(write_all(STDERR_FILENO, text_of(line)));
}

int RotatingFileSink::open_file() noexcept {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd_ < 0) return errno;
  struct stat status {};
  regular_ = ::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
  size_ = regular_ ? static_cast<std::uint64_t>(status.st_size) : 0;
  return 0;
}

int RotatingFileSink::append(std::string_view line) noexcept {
  if (fd_ < 0) {
    if (const int error = open_file(); error != 0) return error;
  }
  if (!regular_) return write_all(fd_, line);
  if (const int error = write_all(fd_, line); error != 0) {
    // Half a line would run into the next one. Where truncating fails too, half a line is what remains.
    if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0) size_ += line.size();
    return error;
  }
  size_ += line.size();
  return 0;
}

void RotatingFileSink::rotate() {
  const auto numbered = [&](std::size_t n) {
    std::filesystem::path name = path_;
    return n == 0 ? name : name += "." + std::to_string(n);
  };
  std::error_code error;
  for (std::size_t n = max_files_; n > 0 && !error; --n) {
    std::filesystem::rename(numbered(n - 1), numbered(n), error);
    // A gap in the row is nothing; that the file itself is gone is nothing either.
    if (error == std::errc::no_such_file_or_directory) error.clear();
  }
  if (error) {
    report_once(error.value());
    rotate_at_ = size_ + max_bytes_;  // Goes on in the same file rather than trying for every line.
    return;
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  size_ = 0;
  rotate_at_ = max_bytes_;
}

void RotatingFileSink::report_once(int error) {
  if (failing_) return;
  failing_ = true;
  const std::string line =
      fmt::format("cannot write or rotate the log file {}: {}; what it does not take goes to stderr\n",
                  path_.string(), std::strerror(error));
  static_cast<void>(write_all(STDERR_FILENO, line));
}

void LossNotingSink::log(const spdlog::details::log_msg& message) {
  if (const std::size_t lost = pool_.overrun_counter(); lost != lost_before_) {
    const std::string text = fmt::format(
        "{} log lines were lost here: they came faster than they could be written", lost - lost_before_);
    lost_before_ = lost;
    inner_->log(spdlog::details::log_msg{message.time, {}, message.logger_name, spdlog::level::warn, text});
  }
  inner_->log(message);
}

}  // namespace culvert
