// What `culvert-agent status` shows. The data path fills it, this file gives it its form: keys are only ever
// added.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tunnel-core/base/error.hpp"
#include "tunnel-core/net/line_facts.hpp"

namespace culvert {

enum class SessionState { Connecting, Up, Stalled, Down };
enum class ForwardState { Listening, Closed, Failed };

/// Why the session before this one ended: what its streams were reset for.
struct SessionEnd {
  Errc reason{};
  std::string text;
  std::string at;  ///< RFC 3339 in UTC.
};

struct SessionStatus {
  SessionState state = SessionState::Connecting;
  std::string id;          ///< 16 hexadecimal digits; empty without a session.
  std::string gateway;     ///< Its URL.
  std::string since;       ///< When `state` began, RFC 3339 in UTC.
  std::string error;       ///< Why it is not up, in one sentence; empty when it is.
  std::string limited_by;  ///< Of what goes to the gateway: "source", "limit", "line", "buffers",
                           ///< "window", "memory".
  std::optional<SessionEnd> last_end = {};  ///< Since the agent's start.
  std::string draining = {};                ///< "agent" or "gateway": who takes no new streams; else empty.
};

struct LaneStatus {
  std::uint32_t id = 0;
  std::string state;  ///< "up", "suspected", "closing".
  double rtt_ms = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
  std::string carrier;                 ///< "culvert", "websocket".
  std::string proxy;                   ///< HOST:PORT; empty when it goes the direct way.
  std::optional<LineFacts> line = {};  ///< Nothing where the kernel does not tell.
};

/// Why the latest stream of a forward was refused or broken by its target.
struct TargetTrouble {
  Errc reason{};
  std::string text;
  std::string at;  ///< RFC 3339 in UTC.
};

struct ForwardStatus {
  std::string name;
  std::vector<std::string> listen;  ///< Addresses; the wildcards for all.
  std::uint16_t port = 0;           ///< 0 when its file cannot be read.
  ForwardState state = ForwardState::Closed;
  std::string error;
  std::uint64_t streams = 0;                  ///< Open now.
  std::uint8_t weight = 0;                    ///< 0 when its file cannot be read.
  std::optional<TargetTrouble> trouble = {};  ///< Until a stream is opened again.
};

/// A bandwidth limit as it is at this moment.
struct LimitStatus {
  std::string forward;              ///< Empty: of the whole site.
  std::string window;               ///< The weekly window that holds now; empty outside of all.
  std::uint64_t up_bits_per_s = 0;  ///< 0: unlimited.
  std::uint64_t down_bits_per_s = 0;
  bool up_limiting = false;  ///< It held back a stream within the last second.
  bool down_limiting = false;
};

struct StreamTotals {
  std::uint64_t open = 0;
  std::uint64_t opened_total = 0;
  std::uint64_t reset_total = 0;
};

struct StreamStatus {
  std::uint32_t id = 0;
  std::string forward;
  std::string source;
  std::string state;
  std::string opened_at;
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
};

/// Since the agent's start.
struct ThreadUse {
  Duration cpu{};   ///< On a processor.
  Duration wait{};  ///< Ready to run, and others had the processor.
  Duration age{};
};

struct AgentStatus {
  SessionStatus session;
  std::vector<LaneStatus> lanes;
  std::vector<ForwardStatus> forwards;
  std::vector<LimitStatus> limits;
  StreamTotals streams;
  std::optional<std::vector<StreamStatus>> stream_list;  ///< With --streams.
  std::uint64_t backlog_bytes = 0;  ///< Read from sources, not yet accepted at the far side.
  ThreadUse data_thread;
};

/// "connecting", "up", "stalled", "down".
std::string_view state_name(SessionState state);
/// "listening", "closed", "failed".
std::string_view state_name(ForwardState state);

/// One object: session, lanes, forwards, limits, streams, backlog_bytes; the list of streams is streams.list.
nlohmann::json to_json(const AgentStatus& status);
nlohmann::json to_json(const std::vector<ForwardStatus>& forwards);

/// Tables for people, from the object of to_json(), which is what came over the admin socket.
std::string status_table(const nlohmann::json& status);
std::string forwards_table(const nlohmann::json& forwards);
/// Of limit.list.
std::string limits_table(const nlohmann::json& result);

}  // namespace culvert
