#include "cloud-gateway/api/api_body.hpp"

#include <algorithm>
#include <set>

#include "certs/site_identity.hpp"
#include "tunnel-core/daemon/process.hpp"

namespace culvert {

using nlohmann::json;

namespace {

/// Our deepest request is {"forwards": [{…}]}. A parser that recursed 64 KiB deep would be the sender's
/// choice.
constexpr int kMaxDepth = 16;

Error bad_key(const char* key, const std::string& must) {
  return Error{Errc::UsageInvalid, std::string{"'"} + key + "' " + must};
}

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<ForwardRecord> read_forward(const json& entry) {
  if (!entry.is_object()) return bad_key("forwards", "must hold objects");
  auto name = text_key(entry, "name", 63);
  if (!name) return std::move(name).error();
  if (auto named = certs::check_name("target", *name); !named) return std::move(named).error();
  auto port = number_key(entry, "port", 0, 65535);
  if (!port) return std::move(port).error();
  auto state = text_key(entry, "state", 16);
  if (!state) return std::move(state).error();
  if (*state != "listening" && *state != "closed" && *state != "failed")
    return bad_key("state", "must be listening, closed or failed");
  ForwardRecord forward{*name, static_cast<std::uint16_t>(*port), *state, {}};
  const auto error = entry.find("error");
  if (error != entry.end() && !error->is_null()) {
    auto text = text_key(entry, "error", 1024);
    if (!text) return std::move(text).error();
    forward.error = std::move(*text);
  }
  return forward;
}

}  // namespace

Result<json> parse_body(std::string_view body) {
  bool too_deep = false;
  const auto watch_depth = [&too_deep](int depth, json::parse_event_t, json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  json parsed = json::parse(body.begin(), body.end(), watch_depth, /*allow_exceptions=*/false);
  if (too_deep || parsed.is_discarded() || !parsed.is_object())
    return Error{Errc::UsageInvalid, "the body must be one JSON object in UTF-8"};
  return parsed;
}

Result<std::string> text_key(const json& object, const char* key, std::size_t max_size) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return bad_key(key, "is missing or no string");
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > max_size) return bad_key(key, "is longer than " + std::to_string(max_size) + " bytes");
  if (has_control_character(text)) return bad_key(key, "holds a control character");
  return text;
}

Result<std::uint64_t> number_key(const json& object, const char* key, std::uint64_t min, std::uint64_t max) {
  const auto found = object.find(key);
  // A negative number is an integer too, but not an unsigned one.
  if (found == object.end() || !found->is_number_unsigned())
    return bad_key(key, "is missing or no whole number");
  const auto number = found->get<std::uint64_t>();
  if (number < min || number > max)
    return bad_key(key, "must be from " + std::to_string(min) + " to " + std::to_string(max));
  return number;
}

Result<SessionRequest> read_session_request(const json& body) {
  SessionRequest request;
  auto instance = text_key(body, "instance_id", 2 * request.instance_id.size());
  if (!instance) return std::move(instance).error();
  const auto bytes = from_hex(*instance);
  if (!bytes || bytes->size() != request.instance_id.size())
    return bad_key("instance_id", "must be 32 hexadecimal digits");
  std::copy(bytes->begin(), bytes->end(), request.instance_id.begin());
  auto version = text_key(body, "agent_version", 64);
  if (!version) return std::move(version).error();
  auto host = text_key(body, "host_name", 253);
  if (!host) return std::move(host).error();
  // The upper bound only keeps sums of a few of them away from overflow.
  auto memory = number_key(body, "replay_memory_bytes", 0, std::uint64_t{1} << 50);
  if (!memory) return std::move(memory).error();
  request.agent_version = std::move(*version);
  request.host_name = std::move(*host);
  request.replay_memory = ByteCount{*memory};
  return request;
}

Result<std::vector<ForwardRecord>> read_forwards(const json& body) {
  const auto list = body.find("forwards");
  if (list == body.end() || !list->is_array()) return bad_key("forwards", "is missing or no list");
  if (list->size() > kMaxReportedForwards)
    return bad_key("forwards", "holds more than " + std::to_string(kMaxReportedForwards) + " entries");
  std::vector<ForwardRecord> forwards;
  std::set<std::string> names;
  for (const json& entry : *list) {
    auto forward = read_forward(entry);
    if (!forward) return std::move(forward).error();
    if (!names.insert(forward->name).second)
      return bad_key("forwards", "names '" + forward->name + "' twice");
    forwards.push_back(std::move(*forward));
  }
  return forwards;
}

}  // namespace culvert
