// Reads values out of a reply that may be anything: the first mistake is kept, and asked for once at the end.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert::cloud_api {

class ReplyReader {
 public:
  /// Text that is not a JSON object is the first mistake.
  static ReplyReader of_text(std::string_view body);

  std::string text(const char* key);
  std::string text_or_empty(const char* key);  ///< Absent or null: empty.
  std::uint64_t number(const char* key, std::uint64_t min, std::uint64_t max);
  Bytes hex(const char* key, std::size_t size);  ///< Exactly `size` bytes.
  bool has(const char* key) const;
  ReplyReader object(const char* key);
  /// The elements of an array of at most `max`.
  std::vector<nlohmann::json> list(const char* key, std::size_t max);
  /// Reads one element of a list() and takes over its first mistake.
  template <class Read>
  auto element(nlohmann::json value, Read read) {
    ReplyReader inner{std::move(value)};
    auto result = read(inner);
    keep(inner.mistake_);
    return result;
  }
  void keep_mistake_of(const ReplyReader& inner) { keep(inner.mistake_); }

  /// @error ReplyInvalid, which names the key.
  Result<void> finish() const;

  explicit ReplyReader(nlohmann::json value);

 private:
  void keep(const std::string& mistake) {
    if (mistake_.empty()) mistake_ = mistake;
  }
  const nlohmann::json* find(const char* key) const;

  nlohmann::json value_;
  std::string mistake_;
};

}  // namespace culvert::cloud_api
