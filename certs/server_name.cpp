#include "certs/server_name.hpp"

#include <arpa/inet.h>

namespace culvert::certs {

namespace {

bool is_label_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool is_host_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  std::size_t label = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '.') {
      if (label == 0 || name[i - 1] == '-') return false;
      label = 0;
    } else if (!is_label_character(name[i]) || (label == 0 && name[i] == '-') || ++label > 63) {
      return false;
    }
  }
  return label > 0 && name.back() != '-';
}

}  // namespace

bool is_ip_address(std::string_view name) {
  const std::string text{name};
  unsigned char address[16];
  return inet_pton(AF_INET, text.c_str(), address) == 1 || inet_pton(AF_INET6, text.c_str(), address) == 1;
}

Result<std::string> alternative_name_entry(std::string_view name) {
  if (name.find('\0') == name.npos && is_ip_address(name)) return "IP:" + std::string{name};
  std::string lower{name};
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (is_host_name(lower)) return "DNS:" + lower;
  return Error{Errc::UsageInvalid,
               "'" + std::string{name.substr(0, 100)} +
                   "' is neither a host name nor an IP address; write it like gw.example.net "
                   "or 192.0.2.7, without https:// and port"};
}

}  // namespace culvert::certs
