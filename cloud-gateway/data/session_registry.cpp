#include "cloud-gateway/data/session_registry.hpp"

#include <algorithm>

#include "tunnel-core/base/byte_cursor.hpp"
#include "tunnel-core/daemon/process.hpp"

namespace culvert {
namespace {

SessionId random_id() {
  const Bytes bytes = random_bytes(8);
  return SessionId{Reader{bytes}.u64()};
}

}  // namespace

SessionRegistry::SessionRegistry(const RegistryConfig& config, const PolicyHub& policy,
                                 std::vector<std::unique_ptr<SessionShard>>& shards)
    : config_(config),
      policy_(policy),
      shards_(shards),
      started_at_(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())) {}

std::optional<SessionRegistry::Entry> SessionRegistry::find(SessionId id) const {
  const std::lock_guard lock{mutex_};
  const auto at = entries_.find(id);
  return at == entries_.end() ? std::nullopt : std::optional{at->second};
}

std::size_t SessionRegistry::size() const {
  const std::lock_guard lock{mutex_};
  return entries_.size();
}

std::optional<std::pair<SessionId, SessionRegistry::Entry>> SessionRegistry::of_site(
    const certs::SiteIdentity& identity) const {
  const std::lock_guard lock{mutex_};
  for (const auto& [id, entry] : entries_) {
    if (entry.identity == identity) return std::pair{id, entry};
  }
  return std::nullopt;
}

std::optional<SessionRegistry::Entry> SessionRegistry::take(SessionId id) {
  const std::lock_guard lock{mutex_};
  const auto at = entries_.find(id);
  if (at == entries_.end()) return std::nullopt;
  Entry entry = at->second;
  entries_.erase(at);
  return entry;
}

/// On a data thread: the session ended by itself.
void SessionRegistry::forget(SessionId id) {
  if (const auto entry = take(id)) entry->shard->remove(id);
}

SessionShard& SessionRegistry::least_loaded() const {
  const std::lock_guard lock{mutex_};
  std::map<const SessionShard*, std::size_t> load;
  for (const auto& [id, entry] : entries_) ++load[entry.shard];
  return **std::ranges::min_element(shards_, {}, [&](const auto& shard) { return load[shard.get()]; });
}

Result<SessionGrant> SessionRegistry::create_session(const certs::SiteIdentity& identity,
                                                     const SessionRequest&) {
  const std::lock_guard creating{creating_};
  if (draining_) return Error{Errc::ShuttingDown, "the gateway is draining; try again in a moment"};
  end_site(identity, Errc::SupersededInstance);
  if (size() >= config_.sessions)
    return Error{Errc::StreamLimitReached, "the gateway has all the sessions it takes"};

  SessionGrant grant;
  grant.id = random_id();
  const Bytes secret = random_bytes(grant.secret.size());
  std::ranges::copy(secret, grant.secret.begin());
  grant.resume_deadline = std::chrono::duration_cast<std::chrono::milliseconds>(config_.agent_deadline);
  grant.lane_limit = policy_.current()->lanes_of(identity.org, config_.lanes);
  grant.stream_limit = config_.session.streams;

  SessionShard& shard = least_loaded();
  SessionConfig session = config_.session;
  session.role = Role::Gateway;
  session.resume_deadline = config_.agent_deadline + 30s;
  shard.call([&](SessionShard& owner) {
    owner.add(grant.id, identity, session, [this](SessionId id) { forget(id); });
    return true;
  });
  const std::lock_guard lock{mutex_};
  entries_.emplace(grant.id, Entry{identity, grant.secret, &shard});
  return grant;
}

Result<void> SessionRegistry::delete_session(const certs::SiteIdentity& identity, SessionId session) {
  const auto entry = find(session);
  if (!entry || entry->identity != identity)
    return Error{Errc::UnknownSession, "no such session of this site"};
  if (!take(session)) return {};
  entry->shard->call([session](SessionShard& owner) {
    owner.end(session, Errc::SessionClosed, "the agent has shut down");
    return true;
  });
  return {};
}

void SessionRegistry::end_site(const certs::SiteIdentity& identity, Errc why) {
  while (const auto found = of_site(identity)) {
    const SessionId id = found->first;
    if (!take(id)) continue;
    found->second.shard->call([id, why](SessionShard& owner) {
      owner.end(id, why,
                why == Errc::SupersededInstance
                    ? "another agent of the same site took its place; if this one "
                      "was not restarted, its identity was copied: stop one of the "
                      "two, or join it as a site of its own"
                    : "the site may not use this gateway any more");
      return true;
    });
  }
}

std::vector<StreamSummary> SessionRegistry::list_streams(const certs::SiteIdentity& identity,
                                                         std::size_t limit) {
  const auto found = of_site(identity);
  if (!found) return {};
  return found->second.shard->call([id = found->first, limit](SessionShard& owner) {
    const GatewaySession* const session = owner.find(id);
    return session == nullptr ? std::vector<StreamSummary>{} : session->streams(limit);
  });
}

LiveStatus SessionRegistry::live_status() {
  LiveStatus status;
  status.started_at = started_at_;
  status.draining = draining_;
  {
    const std::lock_guard lock{mutex_};
    status.listen = listen_;
  }
  for (const auto& shard : shards_) {
    const LiveStatus part = shard->call([](SessionShard& owner) {
      LiveStatus of_shard;
      for (const auto& [id, session] : owner.sessions()) {
        if (session->driver().session().ended()) continue;
        of_shard.sessions.push_back(session->live());
      }
      const SessionShard::StreamTotals totals = owner.stream_totals();
      of_shard.streams_opened_total = totals.opened;
      of_shard.streams_reset_total = totals.reset;
      of_shard.limiting = owner.limits().limiting();
      return of_shard;
    });
    status.sessions.insert(status.sessions.end(), part.sessions.begin(), part.sessions.end());
    status.limiting.insert(status.limiting.end(), part.limiting.begin(), part.limiting.end());
    status.streams_opened_total += part.streams_opened_total;
    status.streams_reset_total += part.streams_reset_total;
  }
  return status;
}

void SessionRegistry::apply_policy() {
  for (const auto& shard : shards_) {
    shard->call([](SessionShard& owner) {
      owner.limits().apply_policy();
      return true;
    });
  }
}

void SessionRegistry::set_listen(std::vector<std::string> addresses) {
  const std::lock_guard lock{mutex_};
  listen_ = std::move(addresses);
}

void SessionRegistry::drain(Duration timeout) {
  {
    const std::lock_guard creating{creating_};  // A session that is being made gets its DRAIN below.
    draining_ = true;
  }
  for (const auto& shard : shards_) {
    shard->call([timeout](SessionShard& owner) {
      for (const auto& [id, session] : owner.sessions()) session->driver().drain(timeout);
      return true;
    });
  }
}

bool SessionRegistry::drained() {
  return std::ranges::all_of(shards_, [](const auto& shard) {
    return shard->call([](SessionShard& owner) {
      return std::ranges::all_of(owner.sessions(), [](const auto& entry) { return entry.second->idle(); });
    });
  });
}

void SessionRegistry::end_all(Errc reason, const std::string& text) {
  for (const auto& shard : shards_) {
    shard->call([&](SessionShard& owner) {
      for (const auto& [id, session] : owner.sessions()) session->end(reason, text);
      return true;
    });
  }
}

}  // namespace culvert
