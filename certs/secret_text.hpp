// Text that must not stay in memory: a private key's PEM on its way to or from a file.
#pragma once

#include <string>
#include <string_view>

namespace culvert::certs {

/// Owns the text and overwrites it when it goes. Moves, never copies.
class SecretText {
 public:
  explicit SecretText(std::string text) : text_(std::move(text)) {}
  SecretText(SecretText&& other) noexcept;
  SecretText& operator=(SecretText&& other) noexcept;
  ~SecretText() { wipe(); }

  std::string_view view() const { return text_; }  ///< Valid while this object lives and is not moved from.

 private:
  void wipe() noexcept;

  std::string text_;
};

}  // namespace culvert::certs
