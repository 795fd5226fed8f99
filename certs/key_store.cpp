#include "certs/key_store.hpp"

#include "tunnel-core/daemon/files.hpp"

namespace culvert::certs {

namespace {

namespace fs = std::filesystem;

constexpr mode_t kPrivate = 0600;

fs::path key_file(const fs::path& dir, std::string_view name) {
  return dir / (std::string{name} + ".key");
}
fs::path chain_file(const fs::path& dir, std::string_view name) {
  return dir / (std::string{name} + ".pem");
}

void remove_pair(const fs::path& dir, std::string_view name) {
  std::error_code ignored;  // The error that led here is the one to report.
  fs::remove(key_file(dir, name), ignored);
  fs::remove(chain_file(dir, name), ignored);
}

Result<SecretText> read_key_text(const fs::path& file) {
  auto text = read_secret_file(file);
  if (!text) return std::move(text).error();
  return SecretText{std::move(*text)};
}

}  // namespace

Result<void> save_key(const fs::path& file, const PrivateKey& key) {
  return write_file(file, key.to_pem().view(), kPrivate);
}

Result<void> save_chain(const fs::path& file, std::span<const Certificate> chain) {
  return write_file(file, chain_to_pem(chain), kPrivate);
}

Result<void> check_absent(std::span<const fs::path> files) {
  for (const fs::path& file : files) {
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(file, ignored))) {
      return Error{Errc::AlreadyExists,
                   file.string() + " exists; nothing was changed. Choose another directory or move it away"};
    }
  }
  return {};
}

Result<void> save_new_pair(const fs::path& dir, std::string_view name, const PrivateKey& key,
                           std::span<const Certificate> chain) {
  const fs::path files[] = {key_file(dir, name), chain_file(dir, name)};
  if (auto absent = check_absent(files); !absent) return absent;
  auto saved = save_key(files[0], key);
  if (saved) saved = save_chain(files[1], chain);
  if (!saved) remove_pair(dir, name);
  return saved;
}

Result<PrivateKey> load_key(const fs::path& file) {
  const auto text = read_key_text(file);
  if (!text) return text.error();
  auto key = PrivateKey::from_pem(text->view());
  if (!key) return std::move(key).error().at("read", file.string());
  return key;
}

Result<std::vector<Certificate>> load_chain(const fs::path& file) {
  const auto text = read_file(file);
  if (!text) return text.error();
  auto chain = chain_from_pem(*text);
  if (!chain) return std::move(chain).error().at("read", file.string());
  return chain;
}

Result<KeyAndChain> load_pair(const fs::path& dir, std::string_view name) {
  auto key = load_key(key_file(dir, name));
  if (!key) return std::move(key).error();
  auto chain = load_chain(chain_file(dir, name));
  if (!chain) return std::move(chain).error();
  if (!chain->front().matches(*key)) {
    return Error{Errc::KeyInvalid, key_file(dir, name).string() + " is not the private key of " +
                                       chain_file(dir, name).string() +
                                       "; put back the pair that was made together"};
  }
  return KeyAndChain{std::move(*key), std::move(*chain)};
}

Result<void> create_authorities(const fs::path& dir, std::string_view root_name, UtcTime now,
                                Lifetime root_lifetime) {
  std::vector<fs::path> files;
  for (const Purpose purpose : {Purpose::Root, Purpose::Sites, Purpose::Server}) {
    files.push_back(key_file(dir, authority_file_name(purpose)));
    files.push_back(chain_file(dir, authority_file_name(purpose)));
  }
  if (auto absent = check_absent(files); !absent) return absent;
  // Everything is made before anything is written: a bad name leaves no file behind.
  const auto root = Authority::create_root(root_name, now, root_lifetime);
  if (!root) return root.error();
  const auto sites = Authority::create_issuing(*root, Purpose::Sites, now);
  if (!sites) return sites.error();
  const auto server = Authority::create_issuing(*root, Purpose::Server, now);
  if (!server) return server.error();
  for (const Authority* authority : {&*root, &*sites, &*server}) {
    auto saved =
        save_new_pair(dir, authority_file_name(authority->purpose()), authority->key(), authority->chain());
    if (!saved) {
      for (const Purpose written : {Purpose::Root, Purpose::Sites, Purpose::Server}) {
        remove_pair(dir, authority_file_name(written));
      }
      return saved;
    }
  }
  return {};
}

Result<Authority> load_authority(const fs::path& dir, Purpose purpose) {
  const std::string_view name = authority_file_name(purpose);
  const auto key = read_key_text(key_file(dir, name));
  if (!key) return key.error();
  const auto chain = read_file(chain_file(dir, name));
  if (!chain) return chain.error();
  auto authority = Authority::load(*chain, key->view());
  if (!authority) return std::move(authority).error().at("load", chain_file(dir, name).string());
  if (authority->purpose() != purpose) {
    return Error{Errc::CertificateInvalid, chain_file(dir, name).string() + " holds an authority for " +
                                               std::string{purpose_name(authority->purpose())} +
                                               ", not for " + std::string{purpose_name(purpose)}};
  }
  return authority;
}

std::string_view authority_file_name(Purpose purpose) {
  switch (purpose) {
    case Purpose::Root:
      return "root";
    case Purpose::Sites:
      return "sites-ca";
    case Purpose::Server:
      return "server-ca";
  }
  return "unknown";
}

}  // namespace culvert::certs
