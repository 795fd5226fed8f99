// What `culvert-certs inspect` shows, as JSON and as lines for people. Never a private key or a secret.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "certs/certificate.hpp"
#include "certs/directory_check.hpp"
#include "certs/joining_string.hpp"

namespace culvert::certs {

nlohmann::ordered_json describe(const Certificate& certificate, UtcTime now);
nlohmann::ordered_json describe(const JoiningString& joining, UtcTime now);
nlohmann::ordered_json describe(const DirectoryReport& report);

/// PEM of certificates, a private key or a certificate request: an array with one object for each.
/// @error CertificateInvalid, KeyInvalid.
Result<nlohmann::ordered_json> describe_pem(std::string_view pem, UtcTime now);

/// One `key  value` line for each member, in order; arrays of strings with commas, absent values left out.
std::string to_lines(const nlohmann::ordered_json& object);

}  // namespace culvert::certs
