// Which requests for a lane come in: LaneAdmission over real TLS connections, with a session in the registry.
#include "cloud-gateway/edge/lane_admission.hpp"

#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "certs/utc_time.hpp"
#include "tests/unit/cloud_api/support/test_gateway.hpp"
#include "tests/unit/gateway/store_fixture.hpp"
#include "tunnel-core/base/unique_fd.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/net/hello_proof.hpp"
#include "tunnel-core/net/slab_arena.hpp"

namespace culvert {
namespace {

const certs::SiteIdentity kTokyo{"acme", "tokyo"};
constexpr std::size_t kSlabSpace = 64 * kSlabSize;

const test::TestPki& pki() {
  static const test::TestPki made = test::TestPki::make();
  return made;
}

/// Whose certificate counts is for others to try.
Result<void> trust_anybody(X509*, STACK_OF(X509) *) {
  return {};
}

TlsContext agent_context() {
  const auto site = pki().site(kTokyo.org, kTokyo.site);
  return must(TlsContext::client({site.chain_pem, site.key_pem, std::string{kTunnelAlpn}, trust_anybody}));
}

TlsContext gateway_context() {
  const auto server = pki().server({"localhost"});
  return must(TlsContext::server({server.chain_pem, server.key_pem, trust_anybody}));
}

std::array<UniqueFd, 2> socket_pair() {
  std::array<int, 2> fds{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
  return {{UniqueFd{fds[0]}, UniqueFd{fds[1]}}};
}

/// Both ends of a lane's TLS connection, whose handshake is done.
class Connection {
 public:
  Connection() {
    for (int step = 0; step < 20; ++step) {
      const HandshakeOutcome at_agent = agent.handshake();
      const HandshakeOutcome at_gateway = gateway.handshake();
      if (at_agent == HandshakeOutcome::Failed || at_gateway == HandshakeOutcome::Failed) break;
      if (at_agent == HandshakeOutcome::Done && at_gateway == HandshakeOutcome::Done) return;
    }
    FAIL("no handshake");
  }

 private:
  std::array<UniqueFd, 2> fds_ = socket_pair();

 public:
  TlsEngine agent{fds_[0].value(), agent_context()};
  TlsEngine gateway{fds_[1].value(), gateway_context()};
};

/// Runs a data thread as long as it lives itself; its sessions go with it.
class Runner {
 public:
  Runner(DataThread& data, std::vector<std::unique_ptr<SessionShard>>& shards)
      : data_(data), shards_(shards), thread_([this] { data_.run(); }) {}
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner() {
    data_.stop();
    thread_.join();
    shards_.clear();
  }

 private:
  DataThread& data_;
  std::vector<std::unique_ptr<SessionShard>>& shards_;
  std::thread thread_;
};

/// A site that has joined, its session without a lane, and a connection that asks for one.
struct AdmissionFixture : StoreFixture {
  AdmissionFixture() {
    must(store.add_org("acme", admin(now)));
    join("aa", "01");
    must(hub.rebuild(store));
  }

  void join(const std::string& secret_hash, const std::string& serial) {
    must(store.add_joining_token({secret_hash, "acme", "tokyo", now + std::chrono::hours{1}}, admin(now)));
    must(enrol(secret_hash, "key " + serial, serial, now));
  }

  std::vector<std::unique_ptr<SessionShard>> one_shard() {
    std::vector<std::unique_ptr<SessionShard>> made;
    made.push_back(std::make_unique<SessionShard>(
        SessionSurroundings{*thread, memory, hub, dials, buckets, 1, 1s, kMaxLanes}));
    return made;
  }

  /// As the site's agent says it on `connection`.
  Hello hello_of(std::uint32_t epoch, std::uint32_t lane) const {
    return {kProtocolVersion, epoch, LaneId{lane}, 1_MiB,
            hello_proof(grant.secret, Role::Agent, connection.agent, grant.id, epoch, LaneId{lane})};
  }

  LaneRequest request_with(const Hello& hello) const {
    char id[17];
    std::snprintf(id, sizeof id, "%016llx", static_cast<unsigned long long>(grant.id.value));
    LaneRequest request;
    request.path = "/tunnel/v1/sessions/" + std::string{id} + "/lanes";
    request.upgrade = "culvert/1";
    request.connection_upgrade = true;
    request.hello_hex = to_hex(encode_hello(hello));
    request.identity = {"01", kTokyo};
    request.request_id = "0123456789abcdef";
    return request;
  }

  Result<LaneAdmission::Admitted> judge(const Hello& hello) const {
    return admission.judge(request_with(hello), connection.gateway);
  }

  const WallTime now = certs::utc_now();  // A lane's admission looks at the clock by itself.
  PolicyHub hub;
  SlabArena arena = must(SlabArena::create(kSlabSpace));
  std::unique_ptr<DataThread> thread = must(DataThread::create(arena, kSlabSpace));
  ProcessMemory memory{64_MiB};
  DialBudget dials{1};
  SharedBuckets buckets;
  std::vector<std::unique_ptr<SessionShard>> shards = one_shard();
  SessionRegistry registry{RegistryConfig{}, hub, shards};
  LaneAdmission admission{registry, hub, 64_MiB};
  Runner runner{*thread, shards};
  const SessionGrant grant = must(registry.create_session(kTokyo, SessionRequest{}));
  Connection connection;
};

}  // namespace

// docs/protocol.md §4.1
TEST_CASE("Lane admission: who may not come in any more is refused although the session is still there",
          "[edge]") {
  AdmissionFixture fixture;
  REQUIRE(fixture.judge(fixture.hello_of(1, 1)));
  SECTION("the site was removed") {
    must(fixture.store.remove_site("acme", "tokyo", admin(fixture.now)));
  }
  SECTION("its org was removed") {
    must(fixture.store.remove_org("acme", admin(fixture.now)));
  }
  SECTION("its certificate was revoked by the next one") {
    fixture.join("bb", "02");
  }
  must(fixture.hub.rebuild(fixture.store));

  const LaneRequest again = fixture.request_with(fixture.hello_of(2, 1));
  const auto judged = fixture.admission.judge(again, fixture.connection.gateway);
  REQUIRE_FALSE(judged);
  ApiResponse told = lane_refusal(again, judged.error());
  CHECK(told.status == 401);
  CHECK(told.body["error"]["code"] == "access_revoked");
  // Nobody has ended it yet: it is not for want of a session that the lane is refused.
  CHECK(fixture.registry.find(fixture.grant.id).has_value());
}

// docs/protocol.md §4
TEST_CASE("Lane admission: a proof holds for its own epoch, lane, session, end, secret and connection alone",
          "[edge]") {
  AdmissionFixture fixture;
  const Connection other;
  const TlsEngine& here = fixture.connection.agent;
  const SessionId session = fixture.grant.id;
  const auto prove = [&](Role prover, const TlsEngine& tls, SessionId of, std::uint32_t epoch,
                         std::uint32_t lane) {
    return hello_proof(fixture.grant.secret, prover, tls, of, epoch, LaneId{lane});
  };
  Hello hello = fixture.hello_of(2, 3);
  REQUIRE(fixture.judge(hello));
  REQUIRE(proofs_equal(hello.proof, prove(Role::Agent, here, session, 2, 3)));

  const std::vector<std::pair<std::string, Proof>> foreign{
      {"of another epoch", prove(Role::Agent, here, session, 1, 3)},
      {"of another lane", prove(Role::Agent, here, session, 2, 2)},
      {"of another session", prove(Role::Agent, here, SessionId{session.value + 1}, 2, 3)},
      {"of the gateway's end", prove(Role::Gateway, here, session, 2, 3)},
      {"of another connection", prove(Role::Agent, other.agent, session, 2, 3)},
      {"by another secret", hello_proof(Bytes(32), Role::Agent, here, session, 2, LaneId{3})},
  };
  for (const auto& [whose, proof] : foreign) {
    INFO("a proof " << whose);
    hello.proof = proof;
    const auto judged = fixture.judge(hello);
    REQUIRE_FALSE(judged);
    CHECK(judged.error().code() == Errc::Unauthorized);
  }
}

}  // namespace culvert
