#include "cloud-gateway/edge/gateway_server.hpp"

#include <csignal>
#include <cstdio>

#include "certs/verification.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

constexpr auto kDrainCheckEvery = std::chrono::milliseconds{50};
constexpr auto kFarewell = std::chrono::milliseconds{500};  ///< For the last frames to leave.
/// Address space beyond the ceiling: each stream may own one slab beside its reservation (docs/protocol.md
/// §8.5).
constexpr std::size_t kSlackPerThread = std::size_t{1} << 30;
constexpr Duration kPatienceForFirstByte = 10s;

std::size_t slab_space(const GatewayLimits& limits) {
  return limits.process_memory.value + kSlackPerThread;
}

SlabArena make_arena(const GatewayLimits& limits) {
  auto arena = SlabArena::create(slab_space(limits) * limits.threads);
  if (!arena) {
    spdlog::critical("{}", arena.error().to_string());
    std::abort();
  }
  return std::move(*arena);
}

SiteJudge site_judge(const certs::Certificate& root) {
  const certs::Trust trust = certs::PinnedRoots{{root}};
  return [trust](const std::vector<certs::Certificate>& chain) {
    return certs::verify_site(chain, trust, certs::utc_now());
  };
}

PeerVerifier site_verifier(SiteJudge judge) {
  return [judge = std::move(judge)](X509*, STACK_OF(X509) * chain) -> Result<void> {
    std::vector<certs::Certificate> presented;
    for (int i = 0; i < sk_X509_num(chain); ++i)
      presented.push_back(certs::Certificate::share(sk_X509_value(chain, i)));
    const auto identity = judge(presented);
    if (!identity) return identity.error();
    return {};
  };
}

}  // namespace

GatewayServer::GatewayServer(Gateway& gateway)
    : gateway_(gateway),
      arena_(make_arena(gateway.config.limits)),
      memory_(gateway.config.limits.process_memory),
      dials_(gateway.config.limits.dials) {}

GatewayServer::~GatewayServer() {
  control_threads_.stop();
  control_threads_.join();
  for (const auto& thread : data_threads_) thread->stop();
  for (std::thread& thread : threads_) thread.join();
  shards_.clear();  // Sessions go before the slabs they hold.
}

Result<void> GatewayServer::start_data_threads() {
  const GatewayLimits& limits = gateway_.config.limits;
  for (std::uint64_t i = 0; i < limits.threads; ++i) {
    auto thread = DataThread::create(arena_, slab_space(limits));
    if (!thread) return std::move(thread).error();
    shards_.push_back(std::make_unique<SessionShard>(SessionSurroundings{
        **thread, memory_, *gateway_.policy, dials_, buckets_, limits.dials_per_session, limits.dial_timeout,
        std::min<std::uint64_t>(limits.lanes_per_session, kMaxLanes)}));
    data_threads_.push_back(std::move(*thread));
  }
  // Signals are for the front thread alone; threads inherit the mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  for (const auto& thread : data_threads_) threads_.emplace_back([data = thread.get()] { data->run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  beats_.resize(data_threads_.size());
  return {};
}

Result<void> GatewayServer::start() {
  const GatewayLimits& limits = gateway_.config.limits;
  const SiteJudge judge = site_judge(gateway_.sites_authority.root());
  auto tls = TlsContext::server({certs::chain_to_pem(gateway_.server.chain),
                                 std::string{gateway_.server.key.to_pem().view()}, site_verifier(judge)});
  if (!tls) return std::move(tls).error();
  if (auto started = start_data_threads(); !started) return started;

  RegistryConfig registry;
  registry.session.memory = limits.session_memory;
  registry.session.streams = limits.streams_per_session;
  registry.agent_deadline = limits.resume_deadline;
  registry.lanes = std::min<std::uint64_t>(limits.lanes_per_session, kMaxLanes);
  registry_.emplace(registry, *gateway_.policy, shards_);
  control_.emplace(gateway_, *registry_);
  admission_.emplace(*registry_, *gateway_.policy, limits.session_memory);
  front_.emplace(front_io_, control_threads_, *tls, judge, control_->api(), *admission_, FrontConfig{});
  waiting_room_.emplace(front_io_, limits.guest_connections, kPatienceForFirstByte,
                        [this](WaitingRoom::Socket socket) { front_->serve(std::move(socket)); });
  const auto listening = open_listeners();
  if (!listening) return listening.error();
  if (auto opened = control_->open_admin_socket(); !opened) return opened;
  signals_.add(SIGTERM);
  signals_.add(SIGINT);
  signals_.add(SIGHUP);
  watch_signals();
  feed_watchdog();
  // Last: whoever waits for this line may send a command or SIGTERM at once.
  spdlog::info("gateway ready listen={} url={} threads={}", *listening, gateway_.config.gateway_url(),
               data_threads_.size());
  std::printf("ready: listening on %s\n", listening->c_str());
  std::fflush(stdout);
  return {};
}

Result<std::string> GatewayServer::open_listeners() {
  std::vector<std::string> addresses;
  for (const ListenAddress& address : gateway_.config.listen) {
    auto listener = Listener::open(
        front_io_, address, [this](WaitingRoom::Socket socket) { waiting_room_->enter(std::move(socket)); });
    if (!listener) return std::move(listener).error();
    addresses.push_back((*listener)->address().to_text());
    listeners_.push_back(std::move(*listener));
  }
  registry_->set_listen(addresses);
  std::string joined;
  for (const std::string& address : addresses) joined += (joined.empty() ? "" : ", ") + address;
  return joined;
}

void GatewayServer::watch_signals() {
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    if (signal == SIGHUP) {  // A closed terminal or a habit from other daemons: no reason to end streams.
      spdlog::info(
          "SIGHUP: nothing to load again; admin commands take effect at once, logs rotate by themselves");
      return watch_signals();
    }
    if (draining_) {
      spdlog::warn("second signal {}: ending what still runs", signal);
      return finish();
    }
    watch_signals();
    drain();
  });
}

void GatewayServer::run() {
  notify_ready();
  front_io_.run();
}

void GatewayServer::drain() {
  draining_ = true;
  notify_stopping();
  const Duration timeout = gateway_.config.limits.drain_timeout;
  drain_until_ =
      std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::milliseconds>(timeout);
  spdlog::info("draining: no new streams; running ones have {} s",
               std::chrono::duration_cast<std::chrono::seconds>(timeout).count());
  registry_->drain(timeout);
  check_drained();
}

void GatewayServer::check_drained() {
  const bool in_time = std::chrono::steady_clock::now() < drain_until_;
  if (!in_time || registry_->drained()) {
    if (!in_time) spdlog::warn("drain_timeout is over: resetting the streams that still run");
    return finish();
  }
  drain_timer_.expires_after(kDrainCheckEvery);
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) check_drained();
  });
}

void GatewayServer::finish() {
  registry_->end_all(Errc::ShuttingDown, "the gateway is shutting down");
  for (const auto& listener : listeners_) listener->close();
  waiting_room_->close();
  drain_timer_.expires_after(kFarewell);
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    control_->close_admin_socket();
    front_->close();
    front_io_.stop();
  });
}

/// systemd restarts us when a data thread hangs: it is told that we live only while all of them turn.
void GatewayServer::feed_watchdog() {
  const Duration interval = watchdog_interval();
  if (interval == Duration{}) return;
  bool all_turn = true;
  for (std::size_t i = 0; i < data_threads_.size(); ++i) {
    const std::uint64_t beats = data_threads_[i]->beats();
    if (beats == beats_[i]) all_turn = false;
    beats_[i] = beats;
  }
  if (all_turn) notify_alive();
  watchdog_timer_.expires_after(std::chrono::duration_cast<std::chrono::milliseconds>(interval));
  watchdog_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) feed_watchdog();
  });
}

Result<void> run_gateway(Gateway& gateway) {
  raise_file_limit();
  GatewayServer server{gateway};
  if (auto started = server.start(); !started) return started;
  server.run();
  spdlog::info("gateway stopped");
  return {};
}

}  // namespace culvert
