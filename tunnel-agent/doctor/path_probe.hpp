// What may go wrong on a way that answers small questions: large segments that get lost, connections that are
// cut while they are idle, and a middlebox that refuses the upgrade to a lane.
#pragma once

#include <optional>
#include <vector>

#include "tunnel-agent/doctor/finding.hpp"
#include "tunnel-agent/doctor/http_reply.hpp"
#include "tunnel-agent/doctor/probe_way.hpp"
#include "tunnel-core/base/time.hpp"

namespace culvert {

/// One connection that was left idle.
struct IdleFact {
  Duration idle{};
  bool tried = false;  ///< It stood, and was answered before.
  bool cut = false;    ///< Ended without a farewell, or silent.
  bool silent = false;
};

struct PathFacts {
  std::string where;                       ///< "gw.example:443".
  std::optional<HttpReply> upgrade_reply;  ///< To a lane that nobody may have.
  bool upgrade_swallowed = false;          ///< No byte came back, on a connection that had answered before.
  bool websocket_passes = false;           ///< Asked only where the upgrade was refused.
  bool large_lost = false;                 ///< A large request is answered in small segments only.
  std::vector<IdleFact> idle;              ///< In rising order.
  bool gateway_silent = false;             ///< After a silence, a fresh connection got no answer either.
  bool site_refused = false;               ///< The gateway did not see who asks, or does not know it.
  std::string signer;                      ///< Of the certificate that was presented; empty: not known.
};

/// Blocks for at most `patience`. Says nothing secret.
PathFacts probe_path(const ProbeWay& way, Duration patience);
std::vector<Finding> conclude_path(const PathFacts& facts);
Finding mtu_hole(const std::string& where, const std::string& seen);

}  // namespace culvert
