// Keys and chains as files: NAME.key (PKCS#8) and NAME.pem (leaf first), both 0600.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "certs/authority.hpp"

namespace culvert::certs {

struct KeyAndChain {
  PrivateKey key;
  std::vector<Certificate> chain;  ///< Not empty; the first is the key's.
};

/// Each file is replaced whole or not at all. Save the key first: until its chain is there as well,
/// load_pair() says which of the two is missing or does not match.
/// @error DiskFull, IoFailed.
Result<void> save_key(const std::filesystem::path& file, const PrivateKey& key);
Result<void> save_chain(const std::filesystem::path& file, std::span<const Certificate> chain);

/// @error AlreadyExists, which names the file; nothing was changed then.
Result<void> check_absent(std::span<const std::filesystem::path> files);

/// DIR/NAME.key and DIR/NAME.pem, neither of which may exist. After an error neither does.
/// @error AlreadyExists, DiskFull, IoFailed.
Result<void> save_new_pair(const std::filesystem::path& dir, std::string_view name, const PrivateKey& key,
                           std::span<const Certificate> chain);

/// @error NotFound, FileUnreadable, FileUnsafe (others can read it; says the chmod that mends it),
/// KeyInvalid.
Result<PrivateKey> load_key(const std::filesystem::path& file);
/// @error NotFound, FileUnreadable, CertificateInvalid.
Result<std::vector<Certificate>> load_chain(const std::filesystem::path& file);
/// DIR/NAME.key and DIR/NAME.pem.
/// @error as the two above; KeyInvalid when they do not belong together.
Result<KeyAndChain> load_pair(const std::filesystem::path& dir, std::string_view name);

/// Root and both issuing authorities in DIR: root.*, sites-ca.*, server-ca.*. root.key can then be taken
/// offline.
/// @error AlreadyExists when one of these files is there, and nothing is changed; as
/// Authority::create_root();
///        DiskFull, IoFailed.
Result<void> create_authorities(const std::filesystem::path& dir, std::string_view root_name, UtcTime now,
                                Lifetime root_lifetime = kRootLifetime);

/// One of the authorities that create_authorities() made.
/// @error as load_pair() and Authority::load().
Result<Authority> load_authority(const std::filesystem::path& dir, Purpose purpose);

/// "root", "sites-ca", "server-ca".
std::string_view authority_file_name(Purpose purpose);

}  // namespace culvert::certs
