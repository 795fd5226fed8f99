#include "certs/secret_text.hpp"

#include <openssl/crypto.h>

namespace culvert::certs {

SecretText::SecretText(SecretText&& other) noexcept : text_(std::move(other.text_)) {
  other.wipe();
}

SecretText& SecretText::operator=(SecretText&& other) noexcept {
  if (this != &other) {
    wipe();
    text_ = std::move(other.text_);
    other.wipe();
  }
  return *this;
}

void SecretText::wipe() noexcept {
  text_.resize(text_.capacity());  // A moved-from string can still hold short text in place.
  OPENSSL_cleanse(text_.data(), text_.size());
  text_.clear();
}

}  // namespace culvert::certs
