// A broken promise stops the world that broke it.
#pragma once

#include <stdexcept>
#include <string>

namespace culvert::sim {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void expect(bool kept, const char* promise) {
  if (!kept) throw Failure{promise};
}

}  // namespace culvert::sim
