#include "bench/verified.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace culvert::bench {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);
/// Less than this later than the chunk before is the same stall, or no stall.
constexpr std::int64_t kLater = 5'000;

std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

template <typename Number>
Number number_at(const std::vector<std::byte>& bytes, std::size_t at) {
  Number value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint64_t difference(std::uint64_t a, std::uint64_t b) {
  return a > b ? a - b : b - a;
}

}  // namespace

std::int64_t monotonic_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

VerifiedStream::VerifiedStream(UniqueFd fd, Greeting greeting, Side side, std::int64_t late_us,
                               std::FILE* log)
    : fd_{std::move(fd)},
      greeting_{greeting},
      side_{side},
      late_us_{late_us},
      log_{log},
      out_(greeting.chunk_bytes),
      out_at_{greeting.chunk_bytes},
      in_(greeting.chunk_bytes),
      expected_(greeting.chunk_bytes) {
  ::fcntl(fd_.value(), F_SETFL, O_NONBLOCK);
  // Streams take turns within a tick: a machine that has to send all at once delays them by itself.
  const std::uint64_t phase = mix(greeting.seed + greeting.agent * 4099 + greeting.stream) % greeting.tick_us;
  next_due_us_ = monotonic_us() + static_cast<std::int64_t>(phase);
}

/// Layout: instant it was due, then words of the pattern. A trailer has the instant 0.
void VerifiedStream::fill(std::vector<std::byte>& chunk, Side from, std::uint64_t number,
                          std::int64_t due_us) const {
  std::memcpy(chunk.data(), &due_us, sizeof due_us);
  const std::uint64_t name = std::uint64_t{greeting_.agent} << 33 | std::uint64_t{greeting_.stream} << 1 |
                             (from == Side::Source ? 0U : 1U);
  std::uint64_t state = mix(greeting_.seed ^ mix(name) ^ mix(number + 0x9e3779b97f4a7c15));
  for (std::size_t at = kWord; at < chunk.size(); at += kWord) {
    state += 0x9e3779b97f4a7c15;
    const std::uint64_t word = mix(state);
    std::memcpy(chunk.data() + at, &word, sizeof word);
  }
}

void VerifiedStream::send_due(std::int64_t now_us) {
  if (ending_ != Ending::Open || !flush() || trailer_made_) return;
  while (!finishing_ && next_due_us_ <= now_us) {
    fill(out_, side_, chunks_out_++, next_due_us_);
    next_due_us_ += greeting_.tick_us;
    out_at_ = 0;
    sent_ += out_.size();
    if (!flush()) return;
  }
  if (!finishing_) return;
  if (side_ == Side::Sink) {
    std::fill(out_.begin(), out_.end(), std::byte{0});
    std::memcpy(out_.data() + kWord, &received_, sizeof received_);
    std::memcpy(out_.data() + 2 * kWord, &sent_, sizeof sent_);
    out_at_ = 0;
  }
  trailer_made_ = true;
  flush();
}

/// True when nothing waits any more.
bool VerifiedStream::flush() {
  while (out_at_ < out_.size()) {
    const ssize_t n = ::send(fd(), out_.data() + out_at_, out_.size() - out_at_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) {
      end(Ending::Reset);
      return false;
    }
    out_at_ += static_cast<std::size_t>(n);
  }
  if (trailer_made_) {
    ::shutdown(fd(), SHUT_WR);
    if (side_ == Side::Sink) end(Ending::InOrder);
  }
  return true;
}

void VerifiedStream::finish() {
  finishing_ = true;
  send_due(monotonic_us());
  if (ending_ == Ending::Open && trailer_made_ && out_at_ == out_.size()) ::shutdown(fd(), SHUT_WR);
}

void VerifiedStream::receive() {
  while (ending_ == Ending::Open) {
    const ssize_t n = ::recv(fd(), in_.data() + in_have_, in_.size() - in_have_, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) return end(Ending::Reset);
    if (n == 0) return at_end_of_stream();
    in_have_ += static_cast<std::size_t>(n);
    if (in_have_ < in_.size()) continue;
    in_have_ = 0;
    check_chunk(monotonic_us());
  }
}

void VerifiedStream::check_chunk(std::int64_t now_us) {
  const auto due_us = number_at<std::int64_t>(in_, 0);
  if (due_us == 0 && side_ == Side::Source && finishing_) {
    trailer_seen_ = true;
    lost_bytes_ = difference(number_at<std::uint64_t>(in_, kWord), sent_) +
                  difference(number_at<std::uint64_t>(in_, 2 * kWord), received_);
    return;
  }
  fill(expected_, side_ == Side::Source ? Side::Sink : Side::Source, chunks_in_++, due_us);
  received_ += in_.size();
  for (std::size_t i = kWord; i < in_.size(); ++i) wrong_bytes_ += in_[i] != expected_[i] ? 1 : 0;
  note_delay(due_us, now_us);
}

void VerifiedStream::note_delay(std::int64_t due_us, std::int64_t now_us) {
  const std::int64_t delay = now_us - due_us;
  if (delay > late_us_ && delay > last_delay_us_ + kLater) {
    std::fprintf(log_, "%u %u %u %lld %lld\n", greeting_.agent, greeting_.stream,
                 side_ == Side::Source ? 0U : 1U, static_cast<long long>(due_us),
                 static_cast<long long>(now_us));
  }
  last_delay_us_ = delay;
}

void VerifiedStream::at_end_of_stream() {
  if (side_ == Side::Source) return end(trailer_seen_ && in_have_ == 0 ? Ending::InOrder : Ending::Early);
  if (in_have_ != 0) return end(Ending::Early);
  finish();
}

void VerifiedStream::end(Ending ending) {
  ending_ = ending;
  fd_ = UniqueFd{};
}

}  // namespace culvert::bench
