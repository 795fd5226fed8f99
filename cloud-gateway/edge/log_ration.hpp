// How many lines of one kind go into the log: strangers must not be able to fill it.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "tunnel-core/base/time.hpp"

namespace culvert {

class LogRation {
 public:
  static constexpr std::uint64_t kLines = 20;  ///< In kWindow.
  static constexpr Duration kWindow = 10s;

  /// Nothing: this line is one too many. Otherwise how many were left out since the last one that was not.
  std::optional<std::uint64_t> admit(Instant now) {
    if (!since_ || now - *since_ >= kWindow) {
      since_ = now;
      lines_ = 0;
    }
    if (lines_ >= kLines) {
      ++left_out_;
      return std::nullopt;
    }
    ++lines_;
    return std::exchange(left_out_, 0);
  }

 private:
  std::optional<Instant> since_;
  std::uint64_t lines_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace culvert
