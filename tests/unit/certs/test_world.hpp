// What the tests of this folder share: one set of authorities at a fixed time, and the openssl command as a
// second opinion.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "certs/authority.hpp"

namespace culvert::certs::test {

/// 2026-03-01T08:30:00Z: nothing here looks at the clock.
constexpr UtcTime kNow{std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + std::chrono::minutes{510}};

/// The value, or the test fails with the error's text.
template <class T>
T unwrap(Result<T> result) {
  if (!result) throw std::runtime_error("unexpected error: " + result.error().to_string());
  return std::move(*result);
}
inline void unwrap(Result<void> result) {
  if (!result) throw std::runtime_error("unexpected error: " + result.error().to_string());
}

/// The error, or the test fails.
template <class T>
Error error_of(Result<T> result) {
  if (result) throw std::runtime_error("expected an error");
  return std::move(result).error();
}

struct World {
  Authority root = unwrap(Authority::create_root("Test root", kNow));
  Authority sites = unwrap(Authority::create_issuing(root, Purpose::Sites, kNow));
  Authority server = unwrap(Authority::create_issuing(root, Purpose::Server, kNow));
  PrivateKey key = unwrap(PrivateKey::generate());

  /// Leaf to root, as the peer presents it.
  std::vector<Certificate> server_chain(std::vector<std::string> names = {"gw.example.net"},
                                        UtcTime now = kNow) const;
  std::vector<Certificate> site_chain(UtcTime now = kNow) const;
};

inline const SiteIdentity kTokyo{"acme", "tokyo"};

/// Gone with everything in it at the end of the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Writes `content` to a file of this name and returns its path.
  std::filesystem::path file(const std::string& name, std::string_view content) const;

 private:
  std::filesystem::path path_;
};

struct CommandResult {
  int exit_code;
  std::string output;  ///< Standard output alone.
};

/// `openssl ARGUMENTS`, through the shell.
CommandResult openssl(const std::string& arguments);

}  // namespace culvert::certs::test
