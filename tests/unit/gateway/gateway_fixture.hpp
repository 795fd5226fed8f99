// A gateway made by init in a directory of its own, with sessions that exist on paper only.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "certs/joining_string.hpp"
#include "cloud-gateway/api/session_service.hpp"
#include "cloud-gateway/gateway.hpp"
#include "cloud-gateway/init.hpp"
#include "tests/unit/gateway/store_fixture.hpp"

namespace culvert {

class FakeSessions final : public SessionService {
 public:
  Result<SessionGrant> create_session(const certs::SiteIdentity& identity,
                                      const SessionRequest& request) override {
    created.push_back({identity, request});
    if (refuse) return *refuse;
    SessionGrant grant;
    grant.id = SessionId{0x4d2};
    grant.secret.fill(std::byte{0xab});
    grant.resume_deadline = std::chrono::minutes{10};
    grant.lane_limit = 32;
    grant.stream_limit = 20'000;
    grant.lane_endpoint = endpoint;
    return grant;
  }
  Result<void> delete_session(const certs::SiteIdentity& identity, SessionId session) override {
    if (session != SessionId{0x4d2} || identity.site != "tokyo")
      return Error{Errc::UnknownSession, "no such session"};
    return {};
  }
  std::vector<StreamSummary> list_streams(const certs::SiteIdentity&, std::size_t limit) override {
    return {streams.begin(), streams.begin() + static_cast<std::ptrdiff_t>(std::min(limit, streams.size()))};
  }
  LiveStatus live_status() override { return live; }
  bool draining() const override { return live.draining; }
  void end_site(const certs::SiteIdentity& identity, Errc why) override { ended.emplace_back(identity, why); }

  void apply_policy() override { ++applied; }

  int applied = 0;
  std::vector<std::pair<certs::SiteIdentity, SessionRequest>> created;
  std::vector<std::pair<certs::SiteIdentity, Errc>> ended;
  std::vector<StreamSummary> streams;
  std::optional<Error> refuse;
  std::optional<LaneEndpoint> endpoint;
  LiveStatus live;
};

struct GatewayFixture {
  TempDir dir;
  std::filesystem::path data = dir / "gw";
  std::filesystem::path config_file = make();

  std::filesystem::path make() const {
    return must(init_gateway({data, "gw.example.net", {"127.0.0.1:8443"}, ""}, certs::utc_now()));
  }
  Gateway open() const { return must(open_gateway(must(GatewayConfig::read(config_file)))); }
};

}  // namespace culvert
