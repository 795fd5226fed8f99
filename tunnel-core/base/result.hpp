// Result<T>: a value or an Error. The subset of std::expected that we use; C++20 has none here.
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "tunnel-core/base/assert.hpp"
#include "tunnel-core/base/error.hpp"

namespace culvert {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    TUNNEL_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    TUNNEL_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    TUNNEL_ASSERT(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & {
    TUNNEL_ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }
  const Error& error() const& {
    TUNNEL_ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    TUNNEL_ASSERT(!has_value());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }

  Error& error() & {
    TUNNEL_ASSERT(!has_value());
    return *error_;
  }
  const Error& error() const& {
    TUNNEL_ASSERT(!has_value());
    return *error_;
  }
  Error&& error() && {
    TUNNEL_ASSERT(!has_value());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace culvert
