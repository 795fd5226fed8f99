#include "tunnel-core/daemon/cli.hpp"

#include <cstdio>

#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

int report_error(const char* program, const Error& error) {
  std::fprintf(stderr, "%s: %s\n", program, escape_controls(error.text()).c_str());
  switch (error.code()) {
    case Errc::UsageInvalid:
    case Errc::ConfigInvalid:
    case Errc::FileUnsafe:
    case Errc::JoiningStringInvalid:
    case Errc::JoiningStringExpired:
      return kExitUsage;
    default:
      return kExitFailed;
  }
}

}  // namespace culvert
