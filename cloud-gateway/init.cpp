#include "cloud-gateway/init.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "certs/key_store.hpp"
#include "certs/server_name.hpp"
#include "cloud-gateway/config.hpp"
#include "cloud-gateway/public_url.hpp"
#include "cloud-gateway/store/store.hpp"
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
    std::error_code ignored;
    if (owned_) {
      // An existing directory was empty when we came, and becomes so again.
      for (fs::directory_iterator entry{dir_, ignored}, end; !ignored && entry != end;
           entry.increment(ignored)) {
        std::error_code failed;
        if (entry->path().filename() != "lost+found") fs::remove_all(entry->path(), failed);
      }
    }
    if (keep_) return;
    for (const fs::path& path : missing_) fs::remove(path, ignored);  // Innermost first, empty ones only.
  }

  void own_content() { owned_ = true; }
  void keep() {
    owned_ = false;
    keep_ = true;
  }

 private:
  fs::path dir_;
  std::vector<fs::path> missing_;
  bool owned_ = false;
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

Result<void> fill_data_dir(const InitOptions& options, const Plan& plan, certs::UtcTime now) {
  const fs::path certs_dir = options.data_dir / "certs";
  if (auto made = make_directory(certs_dir, options.data_dir); !made) return made;
  // The name is for people; 48 bytes are what a certificate's subject leaves for it.
  const std::string root_name = ("Culvert root of " + options.hostname).substr(0, 48);
  if (auto made = certs::create_authorities(certs_dir, root_name, now); !made) return made;
  if (auto made = make_server_certificate(certs_dir, plan.names, now); !made) return made;
  if (auto store = Store::create(options.data_dir / "store.sqlite"); !store) return std::move(store).error();
  // Last: with it the directory is a gateway's.
  return write_file(options.data_dir / "gateway.toml",
                    config_template(options.hostname, plan.listen, options.public_url), 0600);
}

}  // namespace

Result<fs::path> init_gateway(const InitOptions& options, certs::UtcTime now) {
  auto plan = check_options(options);
  if (!plan) return std::move(plan).error();
  Undo undo{options.data_dir};
  if (auto created = create_data_dir(options.data_dir); !created) return std::move(created).error();
  auto lock = DataDirLock::acquire(options.data_dir);
  if (!lock) return std::move(lock).error();
  // Once more, under the lock: another init may have filled it in between.
  if (auto empty = create_data_dir(options.data_dir); !empty) return std::move(empty).error();
  undo.own_content();
  if (auto filled = fill_data_dir(options, *plan, now); !filled)
    return std::move(filled).error().at("make a gateway in", options.data_dir.string());
  undo.keep();
  return options.data_dir / "gateway.toml";
}

}  // namespace culvert
