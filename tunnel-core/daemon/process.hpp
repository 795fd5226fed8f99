// What a daemon asks of the operating system.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tunnel-core/base/bytes.hpp"
#include "tunnel-core/base/result.hpp"
#include "tunnel-core/base/time.hpp"

namespace culvert {

/// RLIMIT_NOFILE to its hard limit. Returns the limit now in force.
std::size_t raise_file_limit();

/// From getrandom(2). Never fails on the kernels we run on.
Bytes random_bytes(std::size_t n);

/// Lower-case hexadecimal, two digits a byte; and back.
std::string to_hex(ByteSpan bytes);
/// @error UsageInvalid for odd length or a foreign digit.
Result<Bytes> from_hex(std::string_view text);

/// Overwrites an argument in argv, so that `ps` does not show it.
void hide_argument(char* argument);

/// sd_notify: READY=1, STOPPING=1, STATUS=…; nothing without systemd.
void notify_ready();
void notify_stopping();
void notify_status(std::string_view text);
/// Half of the unit's WatchdogSec, zero without a watchdog; call notify_alive() that often from a data
/// thread.
Duration watchdog_interval();
void notify_alive();

}  // namespace culvert
