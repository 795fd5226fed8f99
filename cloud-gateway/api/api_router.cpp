#include "cloud-gateway/api/api_router.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

#include "cloud-gateway/api/api_body.hpp"
#include "cloud-gateway/control/version.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/obs/log_context.hpp"

namespace culvert {

using nlohmann::json;

namespace {

constexpr std::string_view kSessions = "/tunnel/v1/sessions/";
constexpr std::string_view kLanes = "/lanes";
constexpr std::size_t kMaxListedStreams = 1000;
constexpr std::size_t kMaxLoggedPath = 200;  // A stranger's text.
constexpr int kProtocolVersion = 1;

std::string_view without_query(std::string_view path) {
  return path.substr(0, path.find('?'));
}

bool matches(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with('/')) return path == pattern;
  return path.starts_with(pattern) && path.size() > pattern.size() &&
         path.find('/', pattern.size()) == std::string_view::npos;
}

std::string session_text(SessionId id) {
  return fmt::format("{:016x}", id.value);
}

LogContext about(const ApiRequest& request) {
  LogContext context;
  if (request.identity) {
    context.org = request.identity->identity.org;
    context.site = request.identity->identity.site;
  }
  return context;
}

ApiResponse reply(json body, int status = 200) {
  ApiResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

json forward_json(const ForwardRecord& forward) {
  return {{"name", forward.name}, {"port", forward.port}, {"state", forward.state}, {"error", forward.error}};
}

}  // namespace

ApiClock ApiClock::system() {
  return {certs::utc_now, [] { return Instant{std::chrono::steady_clock::now()}; }};
}

ApiRouter::ApiRouter(Store& store, PolicyHub& policy, Enroller& enroller, SessionService& sessions,
                     ApiClock clock)
    : store_(store), policy_(policy), enroller_(enroller), sessions_(sessions), clock_(std::move(clock)) {}

ApiResponse ApiRouter::handle(const ApiRequest& request) {
  ApiResponse response;
  try {
    response = dispatch(request);
  } catch (const std::exception& failure) {
    // A missing allocation, say: this call fails, the daemon goes on.
    spdlog::error("{}request={} {} failed: {}", about(request), request.request_id, request.method,
                  failure.what());
    response = error_response(Error{Errc::InternalError, failure.what()}, request.request_id);
  }
  const auto is_request_id = [](const auto& header) { return header.first == "Culvert-Request-Id"; };
  if (std::none_of(response.headers.begin(), response.headers.end(), is_request_id))
    response.headers.emplace_back("Culvert-Request-Id", request.request_id);
  return response;
}

ApiResponse ApiRouter::dispatch(const ApiRequest& request) {
  static constexpr Route kRoutes[] = {
      {"GET", "/tunnel/v1/health", false, &ApiRouter::health},
      {"POST", "/tunnel/v1/enrolments", false, &ApiRouter::enrol},
      {"GET", "/tunnel/v1/site", true, &ApiRouter::show_site},
      {"GET", "/tunnel/v1/targets", true, &ApiRouter::list_targets},
      {"GET", "/tunnel/v1/forwards", true, &ApiRouter::list_forwards},
      {"PUT", "/tunnel/v1/forwards", true, &ApiRouter::replace_forwards},
      {"GET", "/tunnel/v1/streams", true, &ApiRouter::list_streams},
      {"POST", "/tunnel/v1/sessions", true, &ApiRouter::create_session},
      {"DELETE", kSessions, true, &ApiRouter::delete_session},
  };
  // A site that is not welcome any more reads so on every call, health included.
  if (request.identity) {
    if (auto known = policy_.current()->authorise_site(*request.identity, clock_.wall()); !known) {
      spdlog::warn("{}request={} refused: {}", about(request), request.request_id, known.error().message());
      return error_response(known.error(), request.request_id);
    }
  }
  const std::string_view path = without_query(request.path);
  std::string allowed;
  for (const Route& route : kRoutes) {
    if (!matches(route.path, path)) continue;
    if (route.method != request.method) {
      allowed += (allowed.empty() ? "" : ", ") + std::string{route.method};
      continue;
    }
    if (route.needs_site && !request.identity)
      return refuse(request, 401,
                    Error{Errc::Unauthorized,
                          "this call needs the client certificate of a site, offered with ALPN culvert/1"});
    if (request.body_too_large || request.body.size() > kMaxApiBody)
      return refuse(request, 413, Error{Errc::UsageInvalid, "the body is longer than 64 KiB"});
    return (this->*route.handler)(request);
  }
  if (!request.identity && is_lane_request(request.method, request.path))
    return refuse(request, 401,
                  Error{Errc::Unauthorized,
                        "a lane needs the client certificate of a site, offered with ALPN culvert/1"});
  if (allowed.empty())
    return refuse(request, 404, Error{Errc::NotFound, "there is nothing at this path; see docs/rest-api.md"});
  auto refused = refuse(request, 405, Error{Errc::UsageInvalid, "this path takes " + allowed});
  refused.headers.emplace_back("Allow", allowed);
  return refused;
}

ApiResponse ApiRouter::health(const ApiRequest&) {
  return reply({{"status", sessions_.draining() ? "draining" : "ok"},
                {"version", kVersion},
                {"protocols", {kProtocolVersion}},
                {"time", certs::utc_text(clock_.wall())}});
}

ApiResponse ApiRouter::enrol(const ApiRequest& request) {
  const Instant now = clock_.steady();
  if (!failed_enrolments_.allows(request.peer_address, now)) {
    auto limited = refuse(request, 429,
                          Error{Errc::StreamLimitReached,
                                "too many failed enrolments from this address; "
                                "wait a minute and check the joining string"});
    for (auto& [name, value] : limited.headers) {
      if (name == "Retry-After") value = "60";
    }
    return limited;
  }
  const auto refuse = [&](const Error& error) {
    // What fails inside of us is nobody's guess.
    if (http_status(error.code()) < 500) failed_enrolments_.record_failure(request.peer_address, now);
    return fail(request, error);
  };
  auto body = parse_body(request.body);
  if (!body) return refuse(body.error());
  auto secret = text_key(*body, "secret", 64);
  if (!secret) return refuse(secret.error());
  const auto csr = body->find("csr_pem");  // Holds line breaks, so text_key() is not for it.
  if (csr == body->end() || !csr->is_string())
    return refuse({Errc::UsageInvalid, "'csr_pem' is missing or no string"});

  auto enrolment =
      enroller_.enrol(*secret, csr->get_ref<const std::string&>(), request.peer_address, clock_.wall());
  if (!enrolment) return refuse(enrolment.error());
  const certs::SiteIdentity& identity = enrolment->identity;
  // The certificate under which a session of this site may still run has just been revoked.
  if (!enrolment->repeated) sessions_.end_site(identity, Errc::AccessRevoked);
  LogContext context;
  context.org = identity.org;
  context.site = identity.site;
  spdlog::info("{}address={} request={} site enrolled{}", context, request.peer_address, request.request_id,
               enrolment->repeated ? " (the same reply again)" : "");
  return reply({{"org", identity.org},
                {"site", identity.site},
                {"certificate_pem", enrolment->certificate_pem},
                {"trust_pem", enrolment->trust_pem},
                {"gateway_url", enrolment->gateway_url},
                {"expires_at", certs::utc_text(enrolment->expires_at)}});
}

ApiResponse ApiRouter::show_site(const ApiRequest& request) {
  const auto expires_at = policy_.current()->expiry_of(request.identity->serial);
  return reply({{"org", request.identity->identity.org},
                {"site", request.identity->identity.site},
                {"certificate_expires_at", expires_at ? json(certs::utc_text(*expires_at)) : json(nullptr)},
                {"gateway_version", kVersion},
                {"time", certs::utc_text(clock_.wall())}});
}

ApiResponse ApiRouter::list_targets(const ApiRequest& request) {
  json targets = json::array();
  for (const std::string& name : policy_.current()->targets_of(request.identity->identity.org))
    targets.push_back({{"name", name}});
  return reply({{"targets", std::move(targets)}});
}

ApiResponse ApiRouter::list_forwards(const ApiRequest& request) {
  const certs::SiteIdentity& identity = request.identity->identity;
  auto forwards = store_.list_forwards(identity.org, identity.site);
  if (!forwards) return fail(request, forwards.error());
  json list = json::array();
  for (const ForwardRecord& forward : *forwards) list.push_back(forward_json(forward));
  return reply({{"forwards", std::move(list)}});
}

ApiResponse ApiRouter::replace_forwards(const ApiRequest& request) {
  const certs::SiteIdentity& identity = request.identity->identity;
  auto body = parse_body(request.body);
  if (!body) return fail(request, body.error());
  auto forwards = read_forwards(*body);
  if (!forwards) return fail(request, forwards.error());
  if (auto stored = store_.replace_forwards(identity.org, identity.site, *forwards); !stored)
    return fail(request, stored.error());
  return list_forwards(request);
}

ApiResponse ApiRouter::list_streams(const ApiRequest& request) {
  json streams = json::array();
  for (const StreamSummary& stream : sessions_.list_streams(request.identity->identity, kMaxListedStreams))
    streams.push_back({{"id", stream.id.value},
                       {"target", stream.target},
                       {"source", stream.source},
                       {"opened_at", certs::utc_text(stream.opened_at)},
                       {"sent_bytes", stream.sent_bytes},
                       {"received_bytes", stream.received_bytes}});
  return reply({{"streams", std::move(streams)}});
}

ApiResponse ApiRouter::create_session(const ApiRequest& request) {
  auto body = parse_body(request.body);
  if (!body) return fail(request, body.error());
  auto wanted = read_session_request(*body);
  if (!wanted) return fail(request, wanted.error());
  auto grant = sessions_.create_session(request.identity->identity, *wanted);
  if (!grant) return fail(request, grant.error());
  if (clones_.observe(request.identity->identity, wanted->instance_id, clock_.steady()))
    report_clone(request);

  json answer{{"session_id", session_text(grant->id)},
              {"session_secret", to_hex(grant->secret)},
              {"resume_deadline_ms", grant->resume_deadline.count()},
              {"limits", {{"lanes", grant->lane_limit}, {"streams", grant->stream_limit}}}};
  if (grant->lane_endpoint)
    answer["lane_endpoint"] = {{"address", grant->lane_endpoint->address},
                               {"sni", grant->lane_endpoint->sni}};
  return reply(std::move(answer), 201);
}

ApiResponse ApiRouter::delete_session(const ApiRequest& request) {
  auto session = session_of_path(request.path);
  if (!session) return fail(request, session.error());
  if (auto deleted = sessions_.delete_session(request.identity->identity, *session); !deleted)
    return fail(request, deleted.error());
  return reply(nullptr, 204);
}

void ApiRouter::report_clone(const ApiRequest& request) {
  const certs::SiteIdentity& identity = request.identity->identity;
  spdlog::warn(
      "{}address={} cloned identity: two agents run with the certificate of this site and end each other's "
      "sessions; "
      "stop one of them, or join it as a site of its own",
      about(request), request.peer_address);
  const Actor actor{"site:" + identity.org + "/" + identity.site, clock_.wall()};
  if (auto noted = store_.append_audit(actor, "site.cloned_identity", identity.org + "/" + identity.site,
                                       "address=" + request.peer_address);
      !noted)
    spdlog::error("{}the audit log could not be written: {}", about(request), noted.error().to_string());
}

ApiResponse ApiRouter::fail(const ApiRequest& request, const Error& error) {
  const int status = http_status(error.code());
  spdlog::log(status == 500 ? spdlog::level::err : spdlog::level::info,
              "{}address={} request={} {} {} refused with {}: {}", about(request), request.peer_address,
              request.request_id, request.method, without_query(request.path), status, error.to_string());
  return error_response(status, error, request.request_id);
}

ApiResponse ApiRouter::refuse(const ApiRequest& request, int status, const Error& error) {
  std::optional<std::string> left_out;
  {
    const std::lock_guard lock{refusals_mutex_};
    left_out = refusals_.admit(clock_.steady());
  }
  if (left_out) {
    const std::string_view path = without_query(request.path).substr(0, kMaxLoggedPath);
    spdlog::info("{}address={} request={} {} {} refused with {}: {}{}", about(request), request.peer_address,
                 request.request_id, request.method, path, status, error.to_string(), *left_out);
  }
  return error_response(status, error, request.request_id);
}

bool ApiRouter::is_lane_request(std::string_view method, std::string_view path) {
  path = without_query(path);
  return method == "GET" && path.starts_with(kSessions) && path.ends_with(kLanes) &&
         path.size() > kSessions.size() + kLanes.size() &&
         path.substr(kSessions.size(), path.size() - kSessions.size() - kLanes.size()).find('/') ==
             std::string_view::npos;
}

Result<SessionId> ApiRouter::session_of_path(std::string_view path) {
  const Error unknown{Errc::UnknownSession, "there is no such session of this site; make a new one"};
  path = without_query(path);
  if (!path.starts_with(kSessions)) return unknown;
  path.remove_prefix(kSessions.size());
  path = path.substr(0, path.find('/'));
  if (path.size() != 16 || path.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return unknown;
  SessionId id;
  std::from_chars(path.data(), path.data() + path.size(), id.value, 16);
  return id;
}

}  // namespace culvert
