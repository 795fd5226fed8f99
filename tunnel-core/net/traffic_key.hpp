// The keys of one direction of a TLS 1.3 connection: RFC 8446 §5.2 (record protection), §5.3 (nonce), §7.1
// and §7.3 (keys from a traffic secret), §7.2 (the next secret). The AEADs are OpenSSL's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/net/openssl_handles.hpp"

namespace culvert {

inline constexpr std::size_t kRecordHeader = 5;
inline constexpr std::size_t kRecordTag = 16;
/// What a record is longer than its content, without padding: header, type byte, tag.
inline constexpr std::size_t kRecordOverhead = kRecordHeader + 1 + kRecordTag;

enum class RecordType : std::uint8_t { Padding = 0, Alert = 21, Handshake = 22, ApplicationData = 23 };

/// A traffic secret, wiped when it goes.
class TrafficSecret {
 public:
  TrafficSecret() = default;
  /// @param bytes  at most 48: as many as the hash of the cipher suite has.
  explicit TrafficSecret(ByteSpan bytes);
  TrafficSecret(const TrafficSecret&) = default;
  TrafficSecret& operator=(const TrafficSecret&) = default;
  ~TrafficSecret();

  ByteSpan bytes() const { return {bytes_.data(), size_}; }
  bool empty() const { return size_ == 0; }

 private:
  std::array<std::byte, 48> bytes_{};
  std::size_t size_ = 0;
};

class TrafficKey {
 public:
  enum class Use { Seal, Open };

  /// @param suite  TLS_AES_128_GCM_SHA256 (0x1301), TLS_AES_256_GCM_SHA384 or TLS_CHACHA20_POLY1305_SHA256.
  /// @return nothing for another suite, or when OpenSSL fails.
  static std::optional<TrafficKey> create(Use use, std::uint16_t suite, const TrafficSecret& secret);

  /// Seals `content` (at most 2^14 bytes) as one record of content.size() + kRecordOverhead bytes at `out`.
  /// False when OpenSSL fails, which leaves nothing worth sending.
  bool seal(RecordType type, ByteSpan content, std::byte* out);

  struct Opened {
    RecordType type;
    std::size_t size;  ///< Of the content, without padding.
  };
  /// Opens a whole record, header included, of kRecordOverhead bytes at least.
  /// @param out  room for record.size() - kRecordOverhead bytes; may be where the sealed content begins.
  ///             Holds rubbish when the answer is nothing.
  /// @return nothing when the record was changed on its way, or was sealed with another key.
  std::optional<Opened> open(ByteSpan record, std::byte* out);

  /// On to the next secret (RFC 8446 §7.2). False when OpenSSL fails.
  bool update();
  /// Records sealed or opened with the present key.
  std::uint64_t records() const { return sequence_; }

 private:
  struct Suite;
  TrafficKey(Use use, const Suite& suite, const TrafficSecret& secret);
  static const Suite* suite_of(std::uint16_t number);
  bool derive();
  bool begin_record(ByteSpan header);

  Use use_;
  const Suite* suite_;
  TrafficSecret secret_;
  std::unique_ptr<EVP_CIPHER_CTX, OpensslDeleter<EVP_CIPHER_CTX_free>> cipher_;
  std::array<std::byte, 12> iv_{};
  std::uint64_t sequence_ = 0;
};

}  // namespace culvert
