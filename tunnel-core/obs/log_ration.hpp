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
  static constexpr std::uint64_t kLines = 20;  ///< In kWindow.
  static constexpr Duration kWindow = 10s;

  /// Nothing: this line is one too many. Otherwise what to write behind it: how many were left out before it.
  std::optional<std::string> admit(Instant now) {
    if (!since_ || now - *since_ >= kWindow) {
      since_ = now;
      lines_ = 0;
    }
    if (lines_ >= kLines) {
      ++left_out_;
      return std::nullopt;
    }
    ++lines_;
    const std::uint64_t left_out = std::exchange(left_out_, 0);
    return left_out == 0 ? std::string{} : " (" + std::to_string(left_out) + " more like it were not logged)";
  }

 private:
  std::optional<Instant> since_;
  std::uint64_t lines_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace culvert
