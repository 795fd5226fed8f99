// How many lines of one kind go into the log: strangers must not be able to fill it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "tunnel-core/base/time.hpp"

namespace culvert {

class LogRation {
 public:
  /// @param lines  that each `window` admits, from the first of them on.
  explicit LogRation(std::uint64_t lines = 20, Duration window = 10s) : most_(lines), window_(window) {}

  /// Nothing: this line is one too many. Otherwise what to write behind it: how many were left out before it.
  std::optional<std::string> admit(Instant now) {
    if (!since_ || now - *since_ >= window_) {
      since_ = now;
      lines_ = 0;
    }
    if (lines_ >= most_) {
      ++left_out_;
      return std::nullopt;
    }
    ++lines_;
    const std::uint64_t left_out = std::exchange(left_out_, 0);
    return left_out == 0 ? std::string{} : " (" + std::to_string(left_out) + " more like it were not logged)";
  }

 private:
  std::uint64_t most_;
  Duration window_;
  std::optional<Instant> since_;
  std::uint64_t lines_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace culvert
