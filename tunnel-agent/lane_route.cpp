#include "tunnel-agent/lane_route.hpp"

#include <algorithm>

#include "certs/site_proof.hpp"
#include "tunnel-core/base/assert.hpp"
#include "tunnel-core/net/run_blocking.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {

using cloud_api::IdentityBy;

namespace {

constexpr std::size_t kDialsAtOnce = 4;
/// How long a carrier that worked goes first before `culvert` has another chance.
constexpr Duration kCarrierRemembered = 1h;
/// For an answer that would only confirm what is known.
constexpr Duration kNamePatience = 200ms;

Instant after(Duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

}  // namespace

LaneRoute::LaneRoute(LaneRouteConfig config) : config_(std::move(config)) {
  if (by_proxy()) threads_ = std::make_unique<boost::asio::thread_pool>(kDialsAtOnce);
}

LaneRoute::~LaneRoute() {
  stop();
}

const TlsContext& LaneRoute::tls(const LaneWay& way) const {
  return way.identity == IdentityBy::Proof ? config_.proof_tls : config_.tls;
}

std::string LaneRoute::site_proof(const LaneWay& way, const TlsEngine& engine) const {
  if (way.identity != IdentityBy::Proof) return {};
  return certs::make_site_proof(config_.site.key, config_.site.chain,
                                engine.exporter(certs::kSiteProofExporter));
}

bool LaneRoute::may_change_identity(const LaneWay& way) const {
  return way.identity == IdentityBy::Certificate && config_.identity->may_learn();
}

LaneWay LaneRoute::way() const {
  Carrier carrier = config_.carrier.value_or(Carrier::Culvert);
  if (!config_.carrier && std::chrono::steady_clock::now() < learnt_until_) carrier = learnt_;
  return {config_.identity->choice(), carrier};
}

std::optional<LaneWay> LaneRoute::around(const LaneWay& way, Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::None:
      break;
    case Obstacle::Handshake:
      if (way.identity == IdentityBy::Certificate) config_.identity->certificate_failed();
      if (may_change_identity(way)) return LaneWay{IdentityBy::Proof, way.carrier};
      break;
    case Obstacle::Upgrade:
      if (way.carrier == Carrier::Culvert && !config_.carrier)
        return LaneWay{way.identity, Carrier::WebSocket};
      break;
  }
  return std::nullopt;
}

void LaneRoute::worked(const LaneWay& way) {
  const LaneWay usual = this->way();
  if (way.identity == IdentityBy::Certificate) config_.identity->certificate_worked();
  if (way.identity != usual.identity && way.identity == IdentityBy::Proof) {
    config_.identity->proof_worked();
    spdlog::warn(
        "something on the way does not let TLS with culvert/1 pass: the site proves its identity by a "
        "signature");
  }
  if (way.carrier != usual.carrier && way.carrier == Carrier::WebSocket) {
    learnt_ = way.carrier;
    learnt_until_ = after(kCarrierRemembered);
    spdlog::warn("something on the way refuses Upgrade: culvert/1: lanes go by WebSocket");
  }
}

void LaneRoute::forget(const LaneWay& way, Obstacle obstacle) {
  if (obstacle == Obstacle::Handshake && way.identity == IdentityBy::Proof) config_.identity->forget();
  if (obstacle == Obstacle::Upgrade && way.carrier == Carrier::WebSocket) learnt_until_ = {};
}

boost::asio::awaitable<Result<HostLookup::Addresses>> LaneRoute::addresses_of(std::string host,
                                                                              Duration patience) {
  boost::system::error_code is_name;
  const auto literal = boost::asio::ip::make_address(host, is_name);
  if (!is_name) co_return HostLookup::Addresses{literal};
  Place& place = places_[host];
  const bool over = place.lookup == nullptr || place.lookup->done();
  // An answer that came too late for the dial before is news all the same.
  if (place.lookup && over && place.lookup->outcome()) place.known = *place.lookup->outcome();
  if (over) place.lookup = HostLookup::start(host);
  const auto lookup = place.lookup;
  const Duration wait = place.known.empty() ? patience : std::min(kNamePatience, patience);
  const bool done = lookup && co_await until_done(lookup, wait);
  if (done && lookup->outcome()) place.known = *lookup->outcome();
  if (!place.known.empty()) co_return place.known;
  co_return Error{Errc::NameUnresolved, "the gateway's name " + host + " does not resolve: " +
                                            (done ? lookup->outcome().error().message()
                                                  : std::string{"no name server answered in time"})};
}

boost::asio::awaitable<Result<UniqueFd>> LaneRoute::connect_by_proxy(std::string host, std::uint16_t port,
                                                                     Duration timeout) {
  TUNNEL_ASSERT(by_proxy());
  auto work = [this, host = std::move(host), port, deadline = after(timeout)] {
    return config_.proxy->connect(host, port, deadline, stopped_);
  };
  co_return co_await run_blocking(*threads_, std::move(work));
}

void LaneRoute::stop() {
  stopped_.signal();
  if (threads_) threads_->join();
}

}  // namespace culvert
