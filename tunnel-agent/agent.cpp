// The running agent: which threads there are, and the order in which they start and stop.
//
//   main thread     data path, listeners, signals, watchdog
//   control thread  REST calls to the gateway
//   admin thread    commands over DIR/admin.sock
//   depot thread    firewall rules over plain HTTP
#include "tunnel-agent/agent.hpp"

#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdio>
#include <fstream>
#include <future>

#include "tunnel-agent/certificate_watch.hpp"
#include "tunnel-agent/firewall_depot.hpp"
#include "tunnel-agent/forward_service.hpp"
#include "tunnel-agent/gateway_link.hpp"
#include "tunnel-agent/limit_service.hpp"
#include "tunnel-core/daemon/data_dir.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/obs/log.hpp"

namespace culvert {
namespace {

/// Address space beyond the ceiling: each stream may own one slab beside its reservation (docs/protocol.md
/// §8.5).
constexpr std::size_t kSlack = std::size_t{1} << 30;
constexpr auto kReportEvery = std::chrono::seconds{30};
constexpr auto kStatusPatience = std::chrono::seconds{5};

PeerVerifier gateway_verifier(certs::Trust trust, std::string host) {
  return [trust = std::move(trust), host = std::move(host)](X509*, STACK_OF(X509) * chain) -> Result<void> {
    std::vector<certs::Certificate> presented;
    for (int i = 0; i < sk_X509_num(chain); ++i)
      presented.push_back(certs::Certificate::share(sk_X509_value(chain, i)));
    return certs::verify_server(presented, trust, host, certs::utc_now());
  };
}

/// Of the calling thread.
ThreadUse thread_use(Instant since) {
  ThreadUse use;
  std::uint64_t ran = 0;
  std::uint64_t waited = 0;
  if (std::ifstream{"/proc/thread-self/schedstat"} >> ran >> waited) {
    use.cpu = std::chrono::nanoseconds{ran};
    use.wait = std::chrono::nanoseconds{waited};
  }
  use.age = std::chrono::steady_clock::now() - since;
  return use;
}

class RunningAgent {
 public:
  RunningAgent(const AgentConfig& config, const OwnCertificate& certificate, DataThread& thread,
               cloud_api::GatewayUrl gateway, cloud_api::Client& client, LaneRoute& route)
      : config_(config),
        thread_(thread),
        client_(client),
        route_(route),
        certificate_watch_(config.certificate_file.string(), certificate.not_after()),
        memory_(config.process_memory),
        limits_(thread.io(), thread.clock()),
        link_({std::move(gateway), config.gateway_url, config.session_memory, config.open_timeout,
               config.polite ? 1 : kMaxLanes, [&certificate] { return certificate.check(certs::utc_now()); }},
              thread, memory_, limits_, control_, client, route),
        table_(thread.io(), link_),
        live_(thread.io(), table_, config.port_pool),
        forwards_(config, &live_),
        limit_service_(config,
                       [this](const LimitScope& scope, const BandwidthLimit& limit) {
                         return run_on(thread_.io(), [this, scope, limit]() -> Result<void> {
                           limits_.set(scope, limit);
                           return {};
                         });
                       }),
        depot_(config) {
    link_.set_forwards(table_);
  }

  Result<void> start() {
    auto limits = load_limits(config_.limits_dir());
    if (!limits) return std::move(limits).error();
    limits_.set_all(*limits);
    auto files = load_forwards(config_.forwards_dir());
    if (!files) return std::move(files).error();
    table_.start(std::move(*files));
    depot_.update();
    auto socket = AdminSocket::listen(config_.data_dir,
                                      [this](const AdminRequest& request) { return execute(request); });
    if (!socket) return std::move(socket).error();
    admin_ = std::move(*socket);
    link_.start();
    signals_.add(SIGTERM);
    signals_.add(SIGINT);
    signals_.add(SIGHUP);
    watch_signals();
    watch_certificate();
    report_forwards();
    feed_watchdog();
    announce();
    return {};
  }

  void run() { thread_.run(); }

  ~RunningAgent() {
    client_.cancel();
    route_.stop();
    control_.stop();
    control_.join();
  }

 private:
  void announce() {
    const auto forwards = table_.status();
    std::printf("ready: %zu forward%s\n", forwards.size(), forwards.size() == 1 ? "" : "s");
    std::fflush(stdout);
    notify_ready();
    spdlog::info("agent ready gateway={} forwards={}", config_.gateway_url, forwards.size());
  }

  /// On the admin socket's thread: everything of the data path is asked for as a value from its own thread.
  Result<nlohmann::json> execute(const AdminRequest& request) {
    if (request.command == "firewall") return depot_.report(request.arguments.value("host", std::string{}));
    if (request.command != "status") {
      auto done = execute_on_files(forwards_, limit_service_, request);
      depot_.update();  // A forward may be on a port that no rule opens yet.
      return done;
    }
    const bool with_streams = request.arguments.value("streams", false);
    std::packaged_task<nlohmann::json()> task{[this, with_streams] { return to_json(status(with_streams)); }};
    auto answer = task.get_future();
    asio::post(thread_.io(), std::move(task));
    // The data thread may have stopped meanwhile; this thread must end then, because the agent's end waits
    // for it.
    if (answer.wait_for(kStatusPatience) != std::future_status::ready) {
      return Error{Errc::DaemonUnreachable,
                   "the agent did not answer; it is stopping or overloaded, ask again"};
    }
    return answer.get();
  }

  AgentStatus status(bool with_streams) {
    AgentStatus status = link_.status(with_streams);
    status.forwards = table_.status();
    status.data_thread = thread_use(began_);
    for (ForwardStatus& forward : status.forwards) {
      if (const Forward* const known = table_.find(forward.name))
        forward.streams = link_.streams_to(known->target);
    }
    return status;
  }

  /// At start, and with every turn of the report: often enough for a line a day.
  void watch_certificate() {
    if (const auto warning = certificate_watch_.poll(certs::utc_now())) spdlog::warn("{}", *warning);
  }

  /// The provider sees the forwards as they are; a report that fails is made again with the next turn.
  void report_forwards() {
    std::vector<cloud_api::ReportedForward> report;
    for (const ForwardStatus& forward : table_.status()) {
      report.push_back({forward.name, forward.port, std::string{state_name(forward.state)}, forward.error});
    }
    if (report != reported_ && link_.status(false).session.state == SessionState::Up) {
      reported_ = report;
      asio::post(control_, [this, report] {
        if (const auto done = client_.report_forwards(report); !done) {
          spdlog::debug("forwards not reported: {}", done.error().text());
          asio::post(thread_.io(), [this] { reported_.clear(); });
        }
      });
    }
    report_timer_.expires_after(reported_.empty() ? std::chrono::seconds{1} : kReportEvery);
    report_timer_.async_wait([this](error_code cancelled) {
      if (cancelled) return;
      watch_certificate();
      report_forwards();
    });
  }

  void watch_signals() {
    signals_.async_wait([this](error_code cancelled, int signal) {
      if (cancelled) return;
      watch_signals();
      if (signal == SIGHUP) {  // A closed terminal or a habit from other daemons: no reason to end streams.
        spdlog::info(
            "SIGHUP: nothing to load again; commands take effect at once, logs rotate by themselves");
        return;
      }
      if (draining_) {
        spdlog::warn("second signal {}: ending what still runs", signal);
        return link_.hurry();
      }
      draining_ = true;
      notify_stopping();
      spdlog::info("draining: no new streams; running ones have {} s",
                   std::chrono::duration_cast<std::chrono::seconds>(config_.drain_timeout).count());
      table_.stop();
      link_.drain(config_.drain_timeout, [this] { thread_.stop(); });
    });
  }

  void feed_watchdog() {
    const Duration interval = watchdog_interval();
    if (interval == Duration{}) return;
    notify_alive();
    watchdog_timer_.expires_after(std::chrono::duration_cast<std::chrono::milliseconds>(interval));
    watchdog_timer_.async_wait([this](error_code cancelled) {
      if (!cancelled) feed_watchdog();
    });
  }

  const AgentConfig& config_;
  DataThread& thread_;
  cloud_api::Client& client_;
  LaneRoute& route_;
  CertificateWatch certificate_watch_;
  ProcessMemory memory_;
  asio::thread_pool control_{1};
  LimitTable limits_;
  GatewayLink link_;
  ForwardTable table_;
  TableOnContext live_;
  ForwardService forwards_;
  LimitService limit_service_;
  FirewallDepot depot_;
  asio::signal_set signals_{thread_.io()};
  asio::steady_timer report_timer_{thread_.io()};
  asio::steady_timer watchdog_timer_{thread_.io()};
  std::vector<cloud_api::ReportedForward> reported_;
  bool draining_ = false;
  const Instant began_ = std::chrono::steady_clock::now();
  std::unique_ptr<AdminSocket> admin_;  ///< Last: its thread uses all of the above.
};

}  // namespace

Result<void> run_agent(const AgentConfig& config) {
  auto lock = DataDirLock::acquire(config.data_dir, kDaemonLockPatience);
  if (!lock) return std::move(lock).error();
  raise_file_limit();
  auto identity = load_identity(config);
  if (!identity) return std::move(identity).error();
  const auto certificate = OwnCertificate::read(*identity, config.certificate_file);
  if (!certificate) return certificate.error();
  // No reason not to start: the clock may be set later, and the gateway's clock is the one that counts.
  if (auto fit = certificate->check(certs::utc_now()); !fit) spdlog::error("{}", fit.error().text());
  auto gateway = cloud_api::GatewayUrl::parse(config.gateway_url);
  if (!gateway) return std::move(gateway).error();
  use_keytab(config.proxy);
  auto proxy = open_proxy(config.proxy, *gateway, cloud_api::process_environment);
  if (!proxy) return std::move(proxy).error();
  if (*proxy) {
    const cloud_api::ProxySettings& settings = (*proxy)->settings();
    spdlog::info("gateway={} is reached by way of proxy={} of {}", config.gateway_url, settings.authority(),
                 settings.source);
  }
  const auto memory = std::make_shared<cloud_api::IdentityMemory>(config.transport.identity);
  auto client = cloud_api::Client::create(
      {config.gateway_url, config.trust, *identity, "culvert-agent/" CULVERT_VERSION, *proxy, memory});
  if (!client) return std::move(client).error();
  auto tls = TlsContext::client({identity->certificate_pem, identity->key_pem, std::string{kTunnelAlpn},
                                 gateway_verifier(config.trust, gateway->host)});
  if (!tls) return std::move(tls).error();
  auto proof_tls =
      TlsContext::client({{}, {}, std::string{kHttpAlpn}, gateway_verifier(config.trust, gateway->host)});
  if (!proof_tls) return std::move(proof_tls).error();
  auto site = parse_identity(*identity);
  if (!site) return std::move(site).error();
  auto arena = SlabArena::create(config.process_memory.value + kSlack);
  if (!arena) return std::move(arena).error();
  auto thread = DataThread::create(*arena, arena->size());
  if (!thread) return std::move(thread).error();
  LaneRoute route{{*tls, *proof_tls, std::move(*site), *proxy, memory, config.transport.carrier}};
  {
    RunningAgent agent{config, *certificate, **thread, *gateway, **client, route};
    if (auto started = agent.start(); !started) return started;
    agent.run();
  }
  spdlog::info("agent stopped");
  return {};
}

}  // namespace culvert
