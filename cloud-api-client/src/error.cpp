#include "cloud-api-client/include/cloud_api/error.hpp"

namespace culvert::cloud_api {

bool may_pass(Errc code) {
  return code == Errc::NameUnresolved || code == Errc::ConnectionRefused || code == Errc::Unreachable ||
         code == Errc::TimedOut || code == Errc::ServerFailed;
}

}  // namespace culvert::cloud_api
