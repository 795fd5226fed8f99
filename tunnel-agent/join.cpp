#include "tunnel-agent/join.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "certs/enrolment_request.hpp"
#include "certs/joining_string.hpp"
#include "certs/key_store.hpp"
#include "cloud-api-client/include/cloud_api/client.hpp"
#include "cloud-api-client/include/cloud_api/gateway_url.hpp"
#include "tunnel-agent/config.hpp"
#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/data_dir.hpp"
#include "tunnel-core/daemon/files.hpp"

namespace culvert {

namespace fs = std::filesystem;

namespace {

constexpr Duration kPatience = 30s;  // A person waits; a slow line should not end the attempt.
constexpr const char* kPendingKey = "joining.key";
// What an unfinished join may have left. `lock` and lost+found are in nobody's way.
constexpr std::array kOwnFiles{"joining.key", "site.pem", "trust.pem", "agent.toml"};

bool is_unfinished_join(const fs::path& dir) {
  std::error_code failure;
  if (!fs::exists(dir / kPendingKey, failure)) return false;
  for (fs::directory_iterator entry{dir, failure}, end; !failure && entry != end; entry.increment(failure)) {
    const std::string name = entry->path().filename().string();
    const bool ours = std::any_of(kOwnFiles.begin(), kOwnFiles.end(), [&](const char* own) {
      return name == own || name.starts_with(std::string{own} + ".tmp-");
    });
    if (!ours && name != "lock" && name != "lost+found") return false;
  }
  return !failure;
}

/// An agent's directory is not joined over: one mistaken command would cost a working site its identity. The
/// new one is made beside the old, so that everything else stays in place.
Result<void> require_no_agent(const fs::path& dir) {
  std::error_code ignored;
  if (!fs::exists(dir / "agent.toml", ignored) && !fs::exists(dir / "site.key", ignored)) return {};
  return Error{
      Errc::AlreadyExists,
      fmt::format("{0} is in use: it holds an agent, and nothing was changed. To join again and keep "
                  "its forwards, stop it, join with --data {1}, move site.key, site.pem and trust.pem "
                  "from there to {0}, owned as before, and start it ('Joining again' in operations.md)",
                  dir.string(), shell_word((dir / "new").string()))};
}

/// DIR while the join is on its way: knows what was there before, and takes back what this join made.
class JoiningDir {
 public:
  static Result<JoiningDir> open(const fs::path& dir) {
    if (dir.empty()) return create_data_dir(dir).error();  // Has the words for it.
    std::error_code failure;
    const fs::path absolute = fs::absolute(dir, failure).lexically_normal();
    JoiningDir opened{absolute.has_filename() ? absolute : absolute.parent_path()};
    opened.oldest_new_ = opened.dir_;
    opened.made_ = !fs::exists(opened.dir_, failure);
    while (opened.made_ && opened.oldest_new_.has_relative_path() &&
           !fs::exists(opened.oldest_new_.parent_path(), failure)) {
      opened.oldest_new_ = opened.oldest_new_.parent_path();
    }
    opened.had_lock_ = fs::exists(opened.dir_ / "lock", failure);
    if (!is_unfinished_join(opened.dir_)) {
      if (auto none = require_no_agent(opened.dir_); !none) return std::move(none).error();
      if (auto created = create_data_dir(opened.dir_); !created) return std::move(created).error();
    }
    return opened;
  }

  const fs::path& path() const { return dir_; }

  /// As it was before: an existing directory stays, a new one goes with the parents it brought.
  void take_back() const {
    std::error_code ignored;
    for (const char* name : kOwnFiles) fs::remove(dir_ / name, ignored);
    if (!had_lock_) fs::remove(dir_ / "lock", ignored);
    if (!made_) return;
    for (fs::path path = dir_;; path = path.parent_path()) {
      if (!fs::remove(path, ignored) || path == oldest_new_) return;  // remove() leaves what is not empty.
    }
  }

 private:
  explicit JoiningDir(fs::path dir) : dir_(std::move(dir)) {}

  fs::path dir_;
  fs::path oldest_new_;
  bool made_ = false;
  bool had_lock_ = false;
};

Result<certs::PrivateKey> pending_key(const fs::path& dir) {
  const fs::path file = dir / kPendingKey;
  std::error_code ignored;
  if (fs::exists(file, ignored)) return certs::load_key(file);
  auto key = certs::PrivateKey::generate();
  if (!key) return key;
  if (auto saved = certs::save_key(file, *key); !saved) return std::move(saved).error();
  return key;
}

/// Names what does not fit in a reply, before anything of it is believed.
Result<void> check_enrolment(const cloud_api::Enrolment& enrolment, const certs::PrivateKey& key,
                             const certs::JoiningString& joining) {
  const auto refused = [&](const std::string& why) {
    return Error{Errc::ReplyInvalid,
                 "the gateway's enrolment " + why + "; tell the provider, and join again later"};
  };
  auto chain = certs::chain_from_pem(enrolment.certificate_pem);
  if (!chain) return refused("holds no certificate: " + chain.error().message());
  if (!chain->front().matches(key)) return refused("is for another key");
  const auto identity = certs::SiteIdentity::of(chain->front());
  if (!identity) return refused("names no site: " + identity.error().message());
  if (identity->org != joining.org || identity->site != joining.site) {
    return refused(fmt::format("is for {} and not for {}/{}", identity->to_uri(), joining.org, joining.site));
  }
  if (joining.trust != certs::JoiningString::TrustKind::RootFingerprint) return {};
  auto roots = certs::chain_from_pem(enrolment.trust_pem);
  if (!roots) return refused("holds no root certificate: " + roots.error().message());
  const bool pinned = std::any_of(roots->begin(), roots->end(), [&](const certs::Certificate& root) {
    return root.thumbprint() == joining.root_fingerprint;
  });
  return pinned ? Result<void>{} : refused("does not hold the root that the joining string names");
}

Result<void> finish_with_rename(const fs::path& dir) {
  if (::rename((dir / kPendingKey).c_str(), (dir / "site.key").c_str()) != 0) {
    return Error{Errc::IoFailed,
                 fmt::format("cannot rename {}: {}", (dir / kPendingKey).string(), std::strerror(errno))};
  }
  const UniqueFd opened{::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (opened) static_cast<void>(::fsync(opened.value()));
  return {};
}

Result<Joined> store(const fs::path& dir, const cloud_api::Enrolment& enrolment,
                     const certs::JoiningString& joining) {
  const bool pinned = joining.trust == certs::JoiningString::TrustKind::RootFingerprint;
  const bool url_fits = cloud_api::GatewayUrl::parse(enrolment.gateway_url).has_value();
  const std::string& url = url_fits ? enrolment.gateway_url : joining.gateway_url;
  if (pinned) {
    if (auto done = write_file(dir / "trust.pem", enrolment.trust_pem, 0600); !done)
      return std::move(done).error();
  }
  if (auto done = write_file(dir / "site.pem", enrolment.certificate_pem, 0600); !done)
    return std::move(done).error();
  if (auto done = write_file(dir / "agent.toml", new_config_text(url, pinned), 0600); !done) {
    return std::move(done).error();
  }
  if (auto done = finish_with_rename(dir); !done) return std::move(done).error();
  return Joined{enrolment.org, enrolment.site, url, enrolment.expires_at, dir / "agent.toml"};
}

/// True when the gateway may have signed a certificate whose reply did not reach us.
bool reply_may_be_lost(Errc code) {
  return cloud_api::may_pass(code) || code == Errc::ReplyInvalid;
}

}  // namespace

Result<Joined> join_gateway(std::string_view text, const fs::path& dir, certs::UtcTime now) {
  auto joining = certs::JoiningString::decode(text);
  if (!joining) return std::move(joining).error();
  if (auto valid = joining->check_expiry(now); !valid) return std::move(valid).error();
  const auto gateway = cloud_api::GatewayUrl::parse(joining->gateway_url);
  if (!gateway) return gateway.error();
  auto proxy = open_proxy({}, *gateway, cloud_api::process_environment);
  if (!proxy) return std::move(proxy).error();
  auto client = cloud_api::Client::create(
      {.gateway_url = joining->gateway_url, .trust = joining->trust_anchor(), .proxy = *proxy});
  if (!client) return std::move(client).error();

  auto place = JoiningDir::open(dir);
  if (!place) return std::move(place).error();
  auto lock = DataDirLock::acquire(place->path());
  if (!lock) return std::move(lock).error();  // Another join is at work: the directory is its.
  const bool resumed = fs::exists(place->path() / kPendingKey);
  const auto failed = [&](Error error) {
    if (!resumed) place->take_back();
    return error;
  };
  // First a call that changes nothing: if the gateway cannot be reached or believed, no key has to be kept.
  if (auto health = (*client)->health(kPatience); !health) return failed(std::move(health).error());
  auto key = pending_key(place->path());
  if (!key) return failed(std::move(key).error());
  const auto request = certs::EnrolmentRequest::make(*key);
  if (!request) return failed(request.error());

  auto enrolment = (*client)->enrol(joining->secret, request->pem(), kPatience);
  if (!enrolment) {
    Error error = std::move(enrolment).error();
    if (!reply_may_be_lost(error.code())) {
      place->take_back();
      return error;
    }
    return Error{error.code(), fmt::format("{}. The key is kept in {}: repeat the same command to go on",
                                           error.text(), (place->path() / kPendingKey).string())};
  }
  if (auto good = check_enrolment(*enrolment, *key, *joining); !good) return failed(std::move(good).error());
  auto joined = store(place->path(), *enrolment, *joining);
  // The gateway has signed: with the key a repetition gets the certificate again, without it the string is
  // used up.
  if (!joined) {
    return std::move(joined).error().at(
        "store the certificate; repeat the same command once that is mended, in", place->path().string());
  }
  return joined;
}

}  // namespace culvert
