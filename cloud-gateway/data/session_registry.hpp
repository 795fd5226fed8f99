// All live sessions of the process, by id and by site: which thread owns one, and the secret that its lanes
// must prove. Implements what the REST API needs of them. Any thread but the data threads.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "cloud-gateway/api/session_service.hpp"
#include "cloud-gateway/data/session_shard.hpp"

namespace culvert {

struct RegistryConfig {
  SessionConfig session;            ///< For every session; the role is the gateway's.
  Duration agent_deadline = 10min;  ///< Told to the agent; ours is 30 s longer (docs/protocol.md §10).
  std::size_t sessions = 10000;
  std::uint64_t lanes = kMaxLanes;  ///< Told to the agent, unless its org has a lower ceiling.
};

class SessionRegistry final : public SessionService {
 public:
  using Secret = std::array<std::byte, 32>;

  /// What a lane's admission needs to know.
  struct Entry {
    certs::SiteIdentity identity;
    Secret secret{};
    SessionShard* shard = nullptr;
  };

  /// @param policy, shards  outlive the registry.
  SessionRegistry(const RegistryConfig& config, const PolicyHub& policy,
                  std::vector<std::unique_ptr<SessionShard>>& shards);

  std::optional<Entry> find(SessionId id) const;
  std::size_t size() const;

  /// From SIGTERM on: no new sessions; the ones that are get DRAIN.
  void drain(Duration timeout);
  /// True when no session has a stream any more.
  bool drained();
  void end_all(Errc reason, const std::string& text);
  void set_listen(std::vector<std::string> addresses);

  Result<SessionGrant> create_session(const certs::SiteIdentity& identity,
                                      const SessionRequest& request) override;
  Result<void> delete_session(const certs::SiteIdentity& identity, SessionId session) override;
  std::vector<StreamSummary> list_streams(const certs::SiteIdentity& identity, std::size_t limit) override;
  LiveStatus live_status() override;
  bool draining() const override { return draining_; }
  void end_site(const certs::SiteIdentity& identity, Errc why) override;
  void apply_policy() override;

 private:
  std::optional<std::pair<SessionId, Entry>> of_site(const certs::SiteIdentity& identity) const;
  std::optional<Entry> take(SessionId id);
  void forget(SessionId id);
  SessionShard& least_loaded() const;

  const RegistryConfig config_;
  const PolicyHub& policy_;
  std::vector<std::unique_ptr<SessionShard>>& shards_;
  const WallTime started_at_;
  std::mutex creating_;       ///< One creation at a time: a site never has two sessions.
  mutable std::mutex mutex_;  ///< Of entries_, listen_ and the totals. Never held while a shard is called.
  std::map<SessionId, Entry> entries_;
  std::vector<std::string> listen_;
  std::atomic<bool> draining_{false};
};

}  // namespace culvert
