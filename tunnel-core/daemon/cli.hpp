// What both command lines share: exit codes and how an error is shown.
#pragma once

#include "tunnel-core/base/result.hpp"

namespace culvert {

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

/// Prints `PROGRAM: <what went wrong and what to do>` to stderr, one line.
/// @return 2 for UsageInvalid, ConfigInvalid, FileUnsafe and joining strings that are wrong, used or expired,
/// otherwise 1.
int report_error(const char* program, const Error& error);

}  // namespace culvert
