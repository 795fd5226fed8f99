// Conclusions of the doctor on what forwards lead to, from facts made up here.
#include <catch2/catch.hpp>
#include <map>

#include "tests/unit/agent/doctor/finding_ids.hpp"
#include "tunnel-agent/doctor/agent_check.hpp"

using namespace culvert;
using nlohmann::json;

namespace {

const certs::UtcTime kNow{std::chrono::seconds{1795316400}};  // 2026-11-22T03:00:00Z
const std::optional<std::vector<std::string>> kUnknown;
const std::optional<std::vector<std::string>> kHasDb = std::vector<std::string>{"db", "files"};

json trouble(const std::string& reason, certs::UtcTime at = kNow) {
  return {{"reason", reason}, {"text", "Connection timed out"}, {"at", certs::utc_text(at)}};
}

TargetFact db(json met = nullptr) {
  return {"db", "db", std::move(met)};
}

ForwardFile file_of(const std::string& name, const std::string& target) {
  Forward forward;
  forward.name = name;
  forward.target = target;
  return {name, forward};
}

}  // namespace

TEST_CASE("Doctor: a target's trouble is told by its reason, and gone when a stream has opened", "[doctor]") {
  for (const auto& [reason, wanted] :
       std::map<std::string, std::string>{{"target_unknown", "target_not_allowed"},
                                          {"target_address_forbidden", "target_not_allowed"},
                                          {"target_refused", "target_refused"},
                                          {"target_timed_out", "target_unreachable"},
                                          {"target_unreachable", "target_unreachable"},
                                          {"target_name_unresolved", "target_unreachable"},
                                          {"socket_failed", "target_half_open"}}) {
    const auto findings = conclude_targets({db(trouble(reason))}, kUnknown, kNow);
    CHECK(ids(findings) == Ids{wanted});
    CHECK_FALSE(is_healthy(findings));
  }
  CHECK(conclude_targets({db()}, kUnknown, kNow).empty());
}

TEST_CASE("Doctor: of a target without a way to it, its machine is to be looked at as well as the way",
          "[doctor]") {
  const auto findings = conclude_targets({db(trouble("target_unreachable"))}, kUnknown, kNow);
  REQUIRE(ids(findings) == Ids{"target_unreachable"});
  CHECK(findings.front().advice.find("whether the target's machine runs at that address") !=
        std::string::npos);
}

TEST_CASE("Doctor: a target's trouble of more than ten minutes ago is a note, which states its age",
          "[doctor]") {
  const auto at_age = [](std::chrono::seconds age) {
    return conclude_targets({db(trouble("target_refused", kNow - age))}, kHasDb, kNow);
  };
  CHECK_FALSE(is_healthy(at_age(std::chrono::minutes{10})));
  const auto old = at_age(std::chrono::minutes{11});
  REQUIRE(ids(old) == Ids{"target_refused"});
  CHECK(is_healthy(old));
  CHECK(old.front().evidence.find("that was 11 minutes ago") != std::string::npos);
  CHECK(old.front().advice.find("the next stream shows") != std::string::npos);
  CHECK(at_age(std::chrono::hours{30}).front().evidence.find("30 hours ago") != std::string::npos);
  CHECK(at_age(std::chrono::hours{73}).front().evidence.find("3 days ago") != std::string::npos);
  // A clock that was set back says nothing of its age.
  CHECK_FALSE(is_healthy(at_age(-std::chrono::hours{1})));
}

TEST_CASE("Doctor: a forward to a target that the gateway does not list is found before its first stream",
          "[doctor]") {
  const TargetFact mirror{"mirror", "db2"};
  const auto findings = conclude_targets({db(), mirror}, kHasDb, kNow);
  REQUIRE(ids(findings) == Ids{"target_not_allowed"});
  CHECK_FALSE(is_healthy(findings));
  CHECK(findings.front().cause.find("forward mirror") == 0);
  CHECK(findings.front().evidence.find("'db2'") != std::string::npos);
  // Said once, also where a stream has met it, and however long ago.
  const TargetFact met{"mirror", "db2", trouble("target_unknown", kNow - std::chrono::hours{2})};
  CHECK(conclude_targets({met}, kHasDb, kNow) == findings);
  CHECK(conclude_targets({mirror}, kUnknown, kNow).empty());
  const TargetFact broken{"broken", ""};
  CHECK(conclude_targets({broken}, kHasDb, kNow).empty());
}

TEST_CASE("Doctor: a target that was unknown and is listed by now is no trouble any more", "[doctor]") {
  CHECK(conclude_targets({db(trouble("target_unknown"))}, kHasDb, kNow).empty());
  CHECK(ids(conclude_targets({db(trouble("target_address_forbidden"))}, kHasDb, kNow)) ==
        Ids{"target_not_allowed"});
}

TEST_CASE("Doctor: forwards are those of the running agent, else those of the files", "[doctor]") {
  const std::vector<ForwardFile> files{
      file_of("a", "db"), file_of("b", "files"), {"broken", Error{Errc::ConfigInvalid, "port"}}};
  const auto from_files = targets_of(files, {});
  REQUIRE(from_files.size() == 2);
  CHECK(from_files.front().target == "db");
  json look;
  look["forwards"] = json::array({{{"name", "b"}, {"target_trouble", trouble("target_refused")}},
                                  {{"name", "gone"}, {"target_trouble", nullptr}}});
  const auto running = targets_of(files, {look});
  REQUIRE(running.size() == 2);
  CHECK(running.front().target == "files");
  CHECK(running.front().trouble.is_object());
  CHECK(running.back().target.empty());
  CHECK(running.back().trouble.is_null());
}
