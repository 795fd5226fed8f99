#include "cloud-api-client/include/cloud_api/identity_memory.hpp"

#include <catch2/catch.hpp>

using namespace culvert;
using cloud_api::IdentityBy;
using cloud_api::IdentityMemory;

namespace {

constexpr Instant kStart{1h};

}  // namespace

TEST_CASE(
    "Identity: where the certificate never worked, the proof may follow at once and is remembered for 10 "
    "minutes",
    "[cloud-api]") {
  IdentityMemory memory;
  memory.certificate_failed(kStart);
  CHECK(memory.may_learn(kStart));
  memory.proof_worked(kStart);
  CHECK(memory.choice(kStart + 9min) == IdentityBy::Proof);
  CHECK(memory.choice(kStart + 11min) == IdentityBy::Certificate);
}

TEST_CASE("Identity: a cut soon after the certificate worked is no reason to change", "[cloud-api]") {
  IdentityMemory memory;
  memory.certificate_worked();
  CHECK_FALSE(memory.may_learn(kStart));
  memory.certificate_failed(kStart);
  memory.certificate_failed(kStart + 50s);
  CHECK_FALSE(memory.may_learn(kStart + 59s));
  SECTION("after a minute of failures it is, and the certificate is asked again soon") {
    CHECK(memory.may_learn(kStart + 61s));
    memory.proof_worked(kStart + 61s);
    CHECK(memory.choice(kStart + 100s) == IdentityBy::Proof);
    CHECK(memory.choice(kStart + 130s) == IdentityBy::Certificate);
  }
  SECTION("a handshake that works begins the minute anew") {
    memory.certificate_worked();
    memory.certificate_failed(kStart + 58s);
    CHECK_FALSE(memory.may_learn(kStart + 61s));
  }
}

TEST_CASE("Identity: what the configuration demands is never changed", "[cloud-api]") {
  IdentityMemory memory{IdentityBy::Certificate};
  CHECK_FALSE(memory.may_learn(kStart));
  memory.proof_worked(kStart);
  CHECK(memory.choice(kStart) == IdentityBy::Certificate);
}
