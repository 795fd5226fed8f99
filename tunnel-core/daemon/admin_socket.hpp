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
  nlohmann::json arguments;
  unsigned caller_uid = 0;  ///< From SO_PEERCRED; goes into the audit log.
};

/// Runs on the socket's own thread, one request at a time; may block on the store.
using AdminHandler = std::function<Result<nlohmann::json>(const AdminRequest&)>;

/// Listens on DIR/admin.sock, 0600, for root and the daemon's own uid only (others are closed unanswered). A
/// long DIR works (the socket is reached by way of /proc/self/fd). A stale socket file is replaced. Requests
/// are at most 1 MiB, a silent client is dropped after 10 s.
class AdminSocket {
 public:
  static Result<std::unique_ptr<AdminSocket>> listen(const std::filesystem::path& dir, AdminHandler handler);
  virtual ~AdminSocket() = default;  ///< Stops, joins its thread, removes the file.
};

/// Asks the daemon that runs on DIR.
/// @error DaemonUnreachable when none listens; whatever the daemon answered otherwise; TimedOut.
Result<nlohmann::json> admin_call(const std::filesystem::path& dir, const AdminRequest& request,
                                  Duration timeout = 30s);

/// Does `offline` under DIR/lock when no daemon runs, else asks the daemon. While one starts and does not yet
/// answer, waits at most 10 s (design §7).
Result<nlohmann::json> admin_call_or(const std::filesystem::path& dir, const AdminRequest& request,
                                     const AdminHandler& offline);

}  // namespace culvert
