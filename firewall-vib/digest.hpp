// Digests as the files of this folder write them: lower-case hexadecimal.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace culvert::firewall {

enum class DigestKind { Sha1, Sha256 };

/// Bytes in pieces, one digest at the end.
class Digest {
 public:
  explicit Digest(DigestKind kind);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(std::string_view bytes);
  /// Once, after the last add().
  std::string hex();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::string sha256_hex(std::string_view bytes);
/// The first eight bytes of the SHA-256, big-endian.
std::uint64_t sha256_number(std::string_view bytes);

}  // namespace culvert::firewall
