#include "cloud-gateway/init.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "certs/key_store.hpp"
#include "certs/server_name.hpp"
#include "cloud-gateway/config.hpp"
#include "cloud-gateway/public_url.hpp"
#include "cloud-gateway/store/store.hpp"
#include "cloud-gateway/unfinished_init.hpp"
#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/data_dir.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {

namespace {

namespace fs = std::filesystem;

/// Remembers which directories are not there yet, and takes away what was made unless keep() was called.
class Undo {
 public:
  explicit Undo(const fs::path& dir) : dir_(dir) {
    std::error_code failed;
    for (fs::path path = fs::absolute(dir, failed).lexically_normal(); !failed && !path.empty();
         path = path.parent_path()) {
      if (fs::exists(path, failed) || path == path.parent_path()) break;
      if (path.has_filename()) missing_.push_back(path);
    }
  }
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() {
    if (keep_) return;
    std::error_code ignored;
    if (lock_) {
      // An existing directory was as good as empty when we came, and becomes so again.
      for (fs::directory_iterator entry{dir_, ignored}, end; !ignored && entry != end;
           entry.increment(ignored)) {
        std::error_code failed;
        const fs::path name = entry->path().filename();
        if (name != "lost+found" && name != "lock" && name != kUnfinishedConfig)
          fs::remove_all(entry->path(), failed);
      }
      // Last, for whoever comes after a kill in the loop, or waits for the lock.
      for (const char* name : {kUnfinishedConfig, "lock"}) fs::remove(dir_ / name, ignored);
    }
    for (const fs::path& path : missing_) fs::remove(path, ignored);  // Innermost first, empty ones only.
  }

  /// From now on the content is ours. The lock stays until all of it is gone: the next init would take what
  /// is half removed for its own.
  void own_content(DataDirLock lock) { lock_ = std::move(lock); }
  void keep() { keep_ = true; }

 private:
  fs::path dir_;
  std::vector<fs::path> missing_;
  std::optional<DataDirLock> lock_;
  bool keep_ = false;
};

/// mkdir with the owner of `parent`, which matters when root prepares a directory for the daemon's user.
Result<void> make_directory(const fs::path& path, const fs::path& parent) {
  struct stat status {};
  int failed = ::mkdir(path.c_str(), 0700);
  if (failed == 0) failed = ::stat(parent.c_str(), &status);
  if (failed == 0 && ::geteuid() == 0) failed = ::chown(path.c_str(), status.st_uid, status.st_gid);
  if (failed == 0) return {};
  return Error{errno == ENOSPC || errno == EDQUOT ? Errc::DiskFull : Errc::IoFailed,
               "cannot create " + path.string() + ": " + std::strerror(errno)};
}

struct Plan {
  std::vector<ListenAddress> listen;
  std::vector<std::string> names;  ///< Of the server certificate.
};

Result<Plan> check_options(const InitOptions& options) {
  Plan plan;
  if (auto name = certs::alternative_name_entry(options.hostname); !name)
    return std::move(name).error().at("read --hostname");
  plan.names.push_back(options.hostname);
  for (const std::string& text : options.listen) {
    auto address = parse_listen_address(text);
    if (!address) return std::move(address).error().at("read --listen");
    plan.listen.push_back(std::move(*address));
  }
  if (plan.listen.empty()) return Error{Errc::UsageInvalid, "--listen names no address"};
  if (options.public_url.empty()) {
    if (plan.listen.front().port == 0)
      return Error{Errc::UsageInvalid,
                   "--listen with port 0 leaves agents without a port to connect to; write a port, "
                   "or give --public-url"};
    return plan;
  }
  auto url = PublicUrl::parse(options.public_url);
  if (!url) return Error{Errc::UsageInvalid, "--public-url " + url.error().message()};
  if (url->host != options.hostname) plan.names.push_back(url->host);
  return plan;
}

Result<void> make_server_certificate(const fs::path& certs_dir, const std::vector<std::string>& names,
                                     certs::UtcTime now) {
  auto authority = certs::load_authority(certs_dir, certs::Purpose::Server);
  if (!authority) return std::move(authority).error();
  auto key = certs::PrivateKey::generate();
  if (!key) return std::move(key).error();
  auto certificate = authority->issue_server(names, key->public_key(), now);
  if (!certificate) return std::move(certificate).error();
  if (auto saved = certs::save_key(certs_dir / "server.key", *key); !saved) return saved;
  return certs::save_chain(certs_dir / "server.pem", authority->chain_below(*certificate));
}

/// The one step that makes a gateway of the directory.
Result<void> put_config_in_place(const fs::path& dir) {
  const fs::path unfinished = dir / kUnfinishedConfig;
  if (std::rename(unfinished.c_str(), (dir / "gateway.toml").c_str()) != 0)
    return Error{Errc::IoFailed, "cannot rename " + unfinished.string() + ": " + std::strerror(errno)};
  const UniqueFd opened{::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (opened) static_cast<void>(::fsync(opened.value()));
  return {};
}

Result<void> fill_data_dir(const InitOptions& options, const Plan& plan, certs::UtcTime now) {
  // First: from here on the directory says what it is, whenever this process is killed.
  if (auto begun = write_file(options.data_dir / kUnfinishedConfig,
                              config_template(options.hostname, plan.listen, options.public_url), 0600);
      !begun)
    return begun;
  const fs::path certs_dir = options.data_dir / "certs";
  if (auto made = make_directory(certs_dir, options.data_dir); !made) return made;
  // The name is for people; 48 bytes are what a certificate's subject leaves for it.
  const std::string root_name = ("Culvert root of " + options.hostname).substr(0, 48);
  if (auto made = certs::create_authorities(certs_dir, root_name, now); !made) return made;
  if (auto made = make_server_certificate(certs_dir, plan.names, now); !made) return made;
  if (auto store = Store::create(options.data_dir / "store.sqlite"); !store) return std::move(store).error();
  return put_config_in_place(options.data_dir);
}

/// A new or empty directory, or one whose init was interrupted.
Result<void> claim_data_dir(const fs::path& dir) {
  return holds_unfinished_init(dir) ? require_leftovers_only(dir) : create_data_dir(dir);
}

}  // namespace

Result<fs::path> init_gateway(const InitOptions& options, certs::UtcTime now) {
  auto plan = check_options(options);
  if (!plan) return std::move(plan).error();
  Undo undo{options.data_dir};
  if (auto claimed = claim_data_dir(options.data_dir); !claimed) return std::move(claimed).error();
  auto lock = DataDirLock::acquire(options.data_dir);
  if (!lock) return std::move(lock).error();
  // Once more, under the lock: another init may have filled it in between.
  if (auto claimed = claim_data_dir(options.data_dir); !claimed) return std::move(claimed).error();
  if (auto removed = remove_leftovers(options.data_dir); !removed) return std::move(removed).error();
  undo.own_content(std::move(*lock));
  if (auto filled = fill_data_dir(options, *plan, now); !filled)
    return std::move(filled).error().at("make a gateway in", options.data_dir.string());
  undo.keep();
  return options.data_dir / "gateway.toml";
}

}  // namespace culvert
