// DIR/admin.sock: how a command talks to its running daemon. One JSON object a line each way.
//   {"command": "target.add", "arguments": {…}}  ->  {"ok": true, "result": …}
//                                                  |  {"ok": false, "error": {"code": "not_found", "message":
//                                                  "…"}}
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/time.hpp"

namespace culvert {

struct AdminRequest {
  std::string command;
  nlohmann::json arguments{};
  unsigned caller_uid = 0;  ///< From SO_PEERCRED; goes into the audit log.
};

/// Runs on the socket's own thread, one request at a time; may block on the store.
using AdminHandler = std::function<Result<nlohmann::json>(const AdminRequest&)>;

/// Listens on DIR/admin.sock, 0600, for root and the daemon's own uid only (others are closed unanswered). A
/// long DIR works (the socket is reached by way of /proc/self/fd). A stale socket file is replaced. Requests
/// are at most 1 MiB, a client that is silent for `silence` is dropped. Several requests may follow each
/// other on one connection. What the handler throws becomes an answer: usage_invalid for a JSON exception,
/// otherwise internal_error.
class AdminSocket {
 public:
  /// @error NotFound (no DIR), InUse (a daemon answers there), AlreadyExists (not a socket), IoFailed,
  /// DiskFull.
  static Result<std::unique_ptr<AdminSocket>> listen(const std::filesystem::path& dir, AdminHandler handler,
                                                     Duration silence = 10s);
  virtual ~AdminSocket() = default;  ///< Stops, joins its thread, removes the file.
};

/// Asks the daemon that runs on DIR.
/// @error NotFound when there is no DIR; DaemonUnreachable when none listens; Forbidden for another user;
/// TimedOut;
///        ReplyInvalid when it ended before it answered; whatever the daemon answered otherwise.
Result<nlohmann::json> admin_call(const std::filesystem::path& dir, const AdminRequest& request,
                                  Duration timeout = 10s);

/// Does `offline` under DIR/lock when no daemon runs, else asks the daemon. While one starts and does not yet
/// answer, waits at most `patience`.
/// @error that of the daemon or of `offline`; InUse when DIR stayed locked and silent.
Result<nlohmann::json> admin_call_or(const std::filesystem::path& dir, const AdminRequest& request,
                                     const AdminHandler& offline, Duration patience = 10s);

}  // namespace culvert
