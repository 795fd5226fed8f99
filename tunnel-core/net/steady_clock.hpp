// The clock of production code.
#pragma once

#include "tunnel-core/base/time.hpp"

namespace culvert {

class SteadyClock final : public Clock {
 public:
  Instant now() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace culvert
