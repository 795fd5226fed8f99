#include "cloud-api-client/include/cloud_api/client.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>

#include "cloud-api-client/include/cloud_api/wake.hpp"
#include "cloud-api-client/src/reply_reader.hpp"
#include "cloud-api-client/src/rest_transport.hpp"
#include "cloud-api-client/src/status_error.hpp"

namespace culvert::cloud_api {

namespace {

using nlohmann::json;

constexpr int kMaxRepetitions = 3;
constexpr Duration kFirstPause = 200ms;  // Doubles each time, and is stretched or cut by up to a half.
constexpr std::size_t kMaxForwards = 1000;
constexpr std::size_t kMaxStreams = 1000;
constexpr std::size_t kMaxTargets = 10'000;

enum class Repeat { Safe, Never };

std::string hex(ByteSpan bytes) {
  std::string text;
  for (const std::byte b : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return text;
}

/// Host names and errors of the system may hold bytes that are not UTF-8: they are replaced, never thrown
/// over.
std::string to_text(const json& body) {
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

Duration jittered(Duration pause) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const auto half = pause.count() / 2;
  return Duration{half + std::uniform_int_distribution<Duration::rep>{0, 2 * half}(random)};
}

ReportedForward read_forward(ReplyReader& reader) {
  ReportedForward forward;
  forward.name = reader.text("name");
  forward.port = static_cast<std::uint16_t>(reader.number("port", 0, 65535));
  forward.state = reader.text("state");
  forward.error = reader.text_or_empty("error");
  return forward;
}

StreamInfo read_stream(ReplyReader& reader) {
  StreamInfo stream;
  stream.id = reader.text("id");
  stream.target = reader.text("target");
  stream.source = reader.text("source");
  stream.opened_at = reader.text("opened_at");
  stream.sent_bytes = reader.number("sent_bytes", 0, UINT64_MAX);
  stream.received_bytes = reader.number("received_bytes", 0, UINT64_MAX);
  return stream;
}

SessionGrant read_grant(ReplyReader& reader) {
  SessionGrant grant{};
  for (const std::byte b : reader.hex("session_id", 8)) {
    grant.id.value = grant.id.value << 8 | std::to_integer<std::uint64_t>(b);
  }
  grant.secret = reader.hex("session_secret", 32);
  grant.resume_deadline = std::chrono::milliseconds{reader.number("resume_deadline_ms", 1'000, 86'400'000)};
  ReplyReader limits = reader.object("limits");
  grant.lane_limit = static_cast<std::uint32_t>(limits.number("lanes", 1, UINT32_MAX));
  grant.stream_limit = static_cast<std::uint32_t>(limits.number("streams", 1, UINT32_MAX));
  reader.keep_mistake_of(limits);
  if (reader.has("lane_endpoint")) {
    ReplyReader endpoint = reader.object("lane_endpoint");
    grant.lane_endpoint = LaneEndpoint{endpoint.text("address"), endpoint.text("sni")};
    reader.keep_mistake_of(endpoint);
  }
  return grant;
}

}  // namespace

struct Client::Impl {
  Impl(GatewayUrl gateway, TlsPolicy tls, std::shared_ptr<ProxyConnector> proxy,
       std::shared_ptr<IdentityMemory> identity, std::string user_agent)
      : url(gateway.to_text()),
        transport(std::move(gateway), std::move(tls), std::move(proxy), std::move(identity),
                  std::move(user_agent)) {}

  /// One call with its repetitions. `doing` completes the sentence "(… at https://gw)".
  Result<ReplyReader> call(HttpRequest request, Repeat repeat, Duration timeout, const char* doing);
  Result<HttpReply> repeated(const HttpRequest& request, Repeat repeat, Instant deadline);

  std::string url;
  RestTransport transport;
  Wake cancelled;
};

Result<HttpReply> Client::Impl::repeated(const HttpRequest& request, Repeat repeat, Instant deadline) {
  Duration pause = kFirstPause;
  for (int repetition = 0;; ++repetition, pause *= 2) {
    auto reply = transport.exchange(request, deadline, cancelled);
    if (reply && reply->status / 100 == 2) return reply;
    Duration wait = jittered(pause);
    if (reply && reply->retry_after) wait = std::max<Duration>(wait, *reply->retry_after);
    Error error = reply ? status_error(*reply) : std::move(reply).error();
    const bool give_up = repeat == Repeat::Never || !may_pass(error.code()) ||
                         repetition == kMaxRepetitions || std::chrono::steady_clock::now() + wait >= deadline;
    if (give_up) return error;
    if (wait_for(nullptr, cancelled, std::chrono::steady_clock::now() + wait) == Woken::Cancelled) {
      return Error{Errc::Cancelled, "the call was cancelled"};
    }
  }
}

Result<ReplyReader> Client::Impl::call(HttpRequest request, Repeat repeat, Duration timeout,
                                       const char* doing) {
  auto reply = repeated(request, repeat, std::chrono::steady_clock::now() + timeout);
  if (!reply) return std::move(reply).error().at(doing, "at " + url);
  return ReplyReader::of_text(reply->body);
}

namespace {

/// The value that was read, or the first mistake of its reply.
template <class T>
Result<T> checked(T value, const ReplyReader& reader, const std::string& url) {
  auto finished = reader.finish();
  if (finished) return value;
  return Error{Errc::ReplyInvalid, finished.error().message() + "; check that " + url +
                                       " is a Culvert gateway and of a version that fits this agent"};
}

}  // namespace

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::create(ClientConfig config) {
  auto gateway = GatewayUrl::parse(config.gateway_url);
  if (!gateway) return std::move(gateway).error();
  auto memory =
      config.identity_memory ? std::move(config.identity_memory) : std::make_shared<IdentityMemory>();
  auto tls = TlsPolicy::create(gateway->host, std::move(config.trust), config.identity);
  if (!tls) return std::move(tls).error();
  return std::unique_ptr<Client>{new Client{std::make_unique<Impl>(
      std::move(*gateway), std::move(*tls), std::move(config.proxy), std::move(memory), config.user_agent)}};
}

void Client::cancel() {
  impl_->cancelled.signal();
}

Result<Health> Client::health(Duration timeout) {
  auto reply = impl_->call({"GET", "/tunnel/v1/health", {}}, Repeat::Safe, timeout, "ask for health");
  if (!reply) return std::move(reply).error();
  Health health;
  health.status = reply->text("status");
  health.version = reply->text("version");
  health.time = reply->text_or_empty("time");
  for (const json& protocol : reply->list("protocols", 100)) {
    if (protocol.is_number_unsigned()) health.protocols.push_back(protocol.get<unsigned>());
  }
  return checked(std::move(health), *reply, impl_->url);
}

Result<Enrolment> Client::enrol(ByteSpan secret, const std::string& csr_pem, Duration timeout) {
  const json body{{"secret", hex(secret)}, {"csr_pem", csr_pem}};
  auto reply = impl_->call({"POST", "/tunnel/v1/enrolments", to_text(body)}, Repeat::Safe, timeout, "enrol");
  if (!reply) return std::move(reply).error();
  Enrolment enrolment;
  enrolment.org = reply->text("org");
  enrolment.site = reply->text("site");
  enrolment.certificate_pem = reply->text("certificate_pem");
  enrolment.trust_pem = reply->text("trust_pem");
  enrolment.gateway_url = reply->text("gateway_url");
  enrolment.expires_at = reply->text("expires_at");
  return checked(std::move(enrolment), *reply, impl_->url);
}

Result<SiteInfo> Client::site(Duration timeout) {
  auto reply = impl_->call({"GET", "/tunnel/v1/site", {}}, Repeat::Safe, timeout, "ask who we are");
  if (!reply) return std::move(reply).error();
  SiteInfo site;
  site.org = reply->text("org");
  site.site = reply->text("site");
  site.certificate_expires_at = reply->text("certificate_expires_at");
  site.gateway_version = reply->text("gateway_version");
  site.time = reply->text_or_empty("time");
  return checked(std::move(site), *reply, impl_->url);
}

Result<std::vector<std::string>> Client::targets(Duration timeout) {
  auto reply = impl_->call({"GET", "/tunnel/v1/targets", {}}, Repeat::Safe, timeout, "list targets");
  if (!reply) return std::move(reply).error();
  std::vector<std::string> names;
  for (json& target : reply->list("targets", kMaxTargets)) {
    names.push_back(
        reply->element(std::move(target), [](ReplyReader& reader) { return reader.text("name"); }));
  }
  return checked(std::move(names), *reply, impl_->url);
}

Result<std::vector<ReportedForward>> Client::forwards(Duration timeout) {
  auto reply = impl_->call({"GET", "/tunnel/v1/forwards", {}}, Repeat::Safe, timeout, "list forwards");
  if (!reply) return std::move(reply).error();
  std::vector<ReportedForward> forwards;
  for (json& forward : reply->list("forwards", kMaxForwards)) {
    forwards.push_back(reply->element(std::move(forward), read_forward));
  }
  return checked(std::move(forwards), *reply, impl_->url);
}

Result<void> Client::report_forwards(const std::vector<ReportedForward>& forwards, Duration timeout) {
  json list = json::array();
  for (const ReportedForward& forward : forwards) {
    list.push_back(
        {{"name", forward.name}, {"port", forward.port}, {"state", forward.state}, {"error", forward.error}});
  }
  const json body{{"forwards", std::move(list)}};
  auto reply =
      impl_->call({"PUT", "/tunnel/v1/forwards", to_text(body)}, Repeat::Safe, timeout, "report forwards");
  if (!reply) return std::move(reply).error();
  return {};
}

Result<std::vector<StreamInfo>> Client::streams(Duration timeout) {
  auto reply = impl_->call({"GET", "/tunnel/v1/streams", {}}, Repeat::Safe, timeout, "list streams");
  if (!reply) return std::move(reply).error();
  std::vector<StreamInfo> streams;
  for (json& stream : reply->list("streams", kMaxStreams)) {
    streams.push_back(reply->element(std::move(stream), read_stream));
  }
  return checked(std::move(streams), *reply, impl_->url);
}

Result<SessionGrant> Client::create_session(const SessionRequest& request, Duration timeout) {
  const json body{{"instance_id", hex(request.instance_id)},
                  {"agent_version", request.agent_version},
                  {"host_name", request.host_name},
                  {"replay_memory_bytes", request.replay_memory.value}};
  auto reply =
      impl_->call({"POST", "/tunnel/v1/sessions", to_text(body)}, Repeat::Safe, timeout, "create a session");
  if (!reply) return std::move(reply).error();
  SessionGrant grant = read_grant(*reply);
  return checked(std::move(grant), *reply, impl_->url);
}

Result<void> Client::delete_session(SessionId id, Duration timeout) {
  const std::string path = fmt::format("/tunnel/v1/sessions/{:016x}", id.value);
  auto reply = impl_->call({"DELETE", path, {}}, Repeat::Never, timeout, "end the session");
  if (reply || reply.error().code() == Errc::UnknownSession) return {};
  return std::move(reply).error();
}

}  // namespace culvert::cloud_api
