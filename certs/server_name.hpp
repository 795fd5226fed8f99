// Names a server certificate can be issued for.
#pragma once

#include <string>
#include <string_view>

#include "tunnel-core/base/result.hpp"

namespace culvert::certs {

/// True for `192.0.2.7` and `2001:db8::7` (no brackets, no zone).
bool is_ip_address(std::string_view name);

/// `DNS:gw.example.net` or `IP:192.0.2.7`, lower case, as OpenSSL's configuration syntax wants it.
/// @error UsageInvalid: neither an IP address nor a host name (1–253 bytes, labels of 1–63 letters, digits,
/// '-').
Result<std::string> alternative_name_entry(std::string_view name);

}  // namespace culvert::certs
