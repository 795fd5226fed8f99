#include "tunnel-agent/doctor/doctor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <mutex>
#include <optional>
#include <thread>

#include "tunnel-agent/doctor/agent_check.hpp"
#include "tunnel-agent/doctor/gateway_conclusions.hpp"
#include "tunnel-agent/doctor/gateway_probe.hpp"
#include "tunnel-agent/doctor/machine_check.hpp"
#include "tunnel-agent/doctor/path_probe.hpp"
#include "tunnel-agent/proxy_config.hpp"
#include "tunnel-core/daemon/admin_socket.hpp"

namespace culvert {

namespace {

constexpr Duration kAll = 9s;
/// Where something swallows `culvert/1`, the client takes 4 s to try the other way.
constexpr Duration kControl = 6500ms;
constexpr Duration kStatus = 2s;
constexpr Duration kBetweenLooks = 200ms;
constexpr int kLooks = 13;  ///< Over 2.4 s.

struct GatewayPart {
  std::vector<Finding> findings;
  ControlFact control;
  std::optional<certs::UtcTime> time;  ///< By the gateway, where this machine's clock is wrong.
};

struct AgentPart {
  bool runs = false;
  std::optional<Error> error;  ///< It runs and does not answer.
  std::vector<nlohmann::json> looks;
};

class Doctor {
 public:
  Doctor(const AgentConfig& config, cloud_api::GatewayUrl url,
         std::shared_ptr<cloud_api::ProxyConnector> proxy,
         const std::function<void(std::string_view)>& progress)
      : config_(config), url_(std::move(url)), proxy_(std::move(proxy)), progress_(progress) {}

  DoctorReport run() {
    auto gateway = std::async(std::launch::async, [this] { return look_at_gateway(); });
    auto agent = std::async(std::launch::async, [this] { return look_at_agent(); });
    auto depot = std::async(std::launch::async, [this] { return ask_for_depot(); });
    DoctorReport report;
    report.gateway = config_.gateway_url;
    const AgentPart running = agent.get();
    report.agent_runs = running.runs;
    GatewayPart way = gateway.get();
    // A wrong clock here shall not blame the site's certificate.
    add(report, check_identity(config_, way.time.value_or(certs::utc_now())));
    add(report, check_disk(config_));
    tell("machine: identity and disk looked at");
    add(report, std::move(way.findings));
    if (!explained(report.findings, way.control)) add(report, conclude_control(way.control));
    if (!running.runs) {
      add(report, check_forward_ports(config_));
      add(report, check_targets({}, way.control));
      add(report, conclude_depot(look_at_depot(config_)));
      tell("forwards and depot: ports looked at");
    } else if (running.error) {
      add(report, {{"agent_unresponsive", "the running agent does not answer", running.error->text(),
                    "ask again; if it stays so, start the agent again and look into its log"}});
    } else {
      add(report, conclude_status(running.looks, way.control));
      add(report, check_targets(running.looks, way.control));
      add(report, conclude_depot(depot.get()));
    }
    return report;
  }

 private:
  static void add(DoctorReport& report, std::vector<Finding> findings) {
    for (Finding& finding : findings) report.findings.push_back(std::move(finding));
  }

  /// Is what control fails of said already? Where large segments are lost no certificate gets through, past
  /// somebody who ends TLS none is seen, and with a wrong clock none is in its time.
  static bool explained(const std::vector<Finding>& findings, const ControlFact& control) {
    const auto found = [&findings](std::string_view id) {
      return std::ranges::any_of(findings, [id](const Finding& finding) { return finding.id == id; });
    };
    const bool out_of_time = control.error && (control.error->code() == Errc::TlsExpired ||
                                               control.error->code() == Errc::TlsNotYetValid);
    return found("mtu_hole") || (refuses_site(control) && found("upgrade_refused")) ||
           (out_of_time && found("clock_skew"));
  }

  void tell(const std::string& line) {
    const std::lock_guard guard{mutex_};
    progress_(line);
  }

  GatewayPart look_at_gateway() {
    tell("gateway: looking at name, way and certificate of " + config_.gateway_url);
    GatewayPart part;
    const GatewayFacts facts = probe_gateway(url_.host, url_.port, config_.trust, proxy_.get());
    part.findings = conclude_gateway(facts);
    part.time = better_time(facts);
    part.control.presented = facts.certificate;
    // A clock and a note stand in nobody's way.
    const auto stops = [](const Finding& finding) { return !finding.note && finding.id != "clock_skew"; };
    if (std::ranges::any_of(part.findings, stops)) return part;
    tell(
        "gateway: asking whether it knows this site, and trying large segments, idle connections and the "
        "upgrade");
    const ProbeWay way{url_.host, url_.port, facts.reached, proxy_.get()};
    const Duration patience =
        std::max<Duration>(began_ + kAll - std::chrono::steady_clock::now(), Duration{});
    auto path = std::async(std::launch::async, [&way, patience] { return probe_path(way, patience); });
    ask_gateway(part, std::min(patience, kControl));
    PathFacts seen = path.get();
    seen.site_refused = refuses_site(part.control);
    if (facts.certificate) seen.signer = facts.certificate->issuer;
    for (Finding& finding : conclude_path(seen)) part.findings.push_back(std::move(finding));
    return part;
  }

  void ask_gateway(GatewayPart& part, Duration patience) const {
    const Instant until = std::chrono::steady_clock::now() + patience;
    // An identity that cannot be read is a finding of check_identity().
    auto identity = load_identity(config_);
    if (!identity) return;
    part.control.asked = true;
    const auto memory = std::make_shared<cloud_api::IdentityMemory>(config_.transport.identity);
    auto client = cloud_api::Client::create(
        {config_.gateway_url, config_.trust, std::move(*identity), "culvert-agent doctor", proxy_, memory});
    if (!client) {
      part.control.error = std::move(client).error();
    } else if (auto site = (*client)->site(patience); !site) {
      part.control.error = std::move(site).error();
    } else {
      part.control.only_by_proof =
          !config_.transport.identity && memory->choice() == cloud_api::IdentityBy::Proof;
      const Duration left = std::max<Duration>(until - std::chrono::steady_clock::now(), Duration{});
      // A gateway that knows the site and does not list its targets leaves them unjudged.
      if (auto targets = (*client)->targets(left)) part.control.targets = std::move(*targets);
    }
  }

  /// @param looks  empty: no agent runs.
  std::vector<Finding> check_targets(const std::vector<nlohmann::json>& looks,
                                     const ControlFact& control) const {
    const auto files = load_forwards(config_.forwards_dir());  // Unreadable ones are findings already.
    return conclude_targets(targets_of(files ? *files : std::vector<ForwardFile>{}, looks), control.targets,
                            certs::utc_now());
  }

  AgentPart look_at_agent() {
    tell("agent: watching its status for 2.4 s");
    AgentPart part;
    for (int i = 0; i < kLooks; ++i) {
      if (i > 0) std::this_thread::sleep_for(kBetweenLooks);
      auto look = ask_agent(part);
      if (!look) break;
      part.looks.push_back(std::move(*look));
    }
    return part;
  }

  DepotFact ask_for_depot() const {
    return depot_of(admin_call(config_.data_dir, {"firewall", {{"host", "localhost"}}}, kStatus),
                    config_.depot.listen.port);
  }

  std::optional<nlohmann::json> ask_agent(AgentPart& part) const {
    auto answer = admin_call(config_.data_dir, {"status", {{"streams", false}}}, kStatus);
    part.runs = answer ||
                (answer.error().code() != Errc::DaemonUnreachable && answer.error().code() != Errc::NotFound);
    if (answer) return std::move(*answer);
    part.error = std::move(answer).error();
    return std::nullopt;
  }

  const AgentConfig& config_;
  const cloud_api::GatewayUrl url_;
  const std::shared_ptr<cloud_api::ProxyConnector> proxy_;  ///< Shared with the REST client.
  const std::function<void(std::string_view)>& progress_;
  const Instant began_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
};

}  // namespace

Result<DoctorReport> run_doctor(const AgentConfig& config,
                                const std::function<void(std::string_view)>& progress) {
  auto url = cloud_api::GatewayUrl::parse(config.gateway_url);
  if (!url) return std::move(url).error();
  use_keytab(config.proxy);
  auto proxy = open_proxy(config.proxy, *url, cloud_api::process_environment);
  if (!proxy) return std::move(proxy).error();
  return Doctor{config, std::move(*url), std::move(*proxy), progress}.run();
}

}  // namespace culvert
