// The REST API of docs/rest-api.md §2–4, without its transport. The lane upgrade is not answered here.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "cloud-gateway/api/api_message.hpp"
#include "cloud-gateway/api/clone_watch.hpp"
#include "cloud-gateway/api/failure_limiter.hpp"
#include "cloud-gateway/api/session_service.hpp"
#include "cloud-gateway/control/enrolment.hpp"
#include "cloud-gateway/control/policy.hpp"
#include "cloud-gateway/store/store.hpp"
#include "tunnel-core/obs/log_ration.hpp"

namespace culvert {

/// Clocks as values, so that tests own time.
struct ApiClock {
  std::function<WallTime()> wall;
  std::function<Instant()> steady;

  static ApiClock system();
};

/// Blocks on the store and on session threads: called from control threads, never from a data thread. Safe to
/// call from several of them at once. Everything it refers to outlives it.
class ApiRouter {
 public:
  ApiRouter(Store& store, PolicyHub& policy, Enroller& enroller, SessionService& sessions,
            ApiClock clock = ApiClock::system());

  /// Never throws; logs what went wrong inside under the request's id.
  ApiResponse handle(const ApiRequest& request);

  /// True for `GET /tunnel/v1/sessions/{id}/lanes`: the front handles that one itself.
  static bool is_lane_request(std::string_view method, std::string_view path);
  /// The id in the path of a lane request or of one session. @error UnknownSession when it is not 16 digits.
  static Result<SessionId> session_of_path(std::string_view path);

 private:
  using Handler = ApiResponse (ApiRouter::*)(const ApiRequest&);
  struct Route {
    std::string_view method;
    std::string_view path;  // A trailing '/' stands for one more segment: an id.
    bool needs_site;
    Handler handler;
  };

  ApiResponse dispatch(const ApiRequest& request);
  ApiResponse health(const ApiRequest& request);
  ApiResponse enrol(const ApiRequest& request);
  ApiResponse show_site(const ApiRequest& request);
  ApiResponse list_targets(const ApiRequest& request);
  ApiResponse list_forwards(const ApiRequest& request);
  ApiResponse replace_forwards(const ApiRequest& request);
  ApiResponse list_streams(const ApiRequest& request);
  ApiResponse create_session(const ApiRequest& request);
  ApiResponse delete_session(const ApiRequest& request);

  /// The error's answer; logs what the peer is not told.
  ApiResponse fail(const ApiRequest& request, const Error& error);
  /// The same for what any stranger can send: at most LogRation's lines of it reach the log.
  ApiResponse refuse(const ApiRequest& request, int status, const Error& error);
  void report_clone(const ApiRequest& request);

  Store& store_;
  PolicyHub& policy_;
  Enroller& enroller_;
  SessionService& sessions_;
  ApiClock clock_;
  FailureLimiter failed_enrolments_;
  CloneWatch clones_;
  std::mutex refusals_mutex_;
  LogRation refusals_;
};

}  // namespace culvert
