#include "certs/openssl_support.hpp"

#include <openssl/err.h>

#include "tunnel-core/base/assert.hpp"

namespace culvert::certs {

BioPtr reading_bio(std::string_view text) {
  // A null pointer is an error to BIO_new_mem_buf, even for no bytes at all.
  BioPtr bio{BIO_new_mem_buf(text.empty() ? "" : text.data(), static_cast<int>(text.size()))};
  TUNNEL_ASSERT(bio != nullptr);
  return bio;
}

BioPtr writing_bio() {
  // Secure-memory BIOs overwrite what they held when they are freed: private keys pass through here.
  BioPtr bio{BIO_new(BIO_s_secmem())};
  TUNNEL_ASSERT(bio != nullptr);
  return bio;
}

std::string written_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string{};
}

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

}  // namespace culvert::certs
