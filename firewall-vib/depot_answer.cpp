#include "firewall-vib/depot_answer.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "firewall-vib/digest.hpp"

namespace culvert::firewall {

namespace {

/// A server that does not know .vib and .zip sends them as text, and hosts refuse them.
std::string_view type_of(std::string_view path) {
  return path.ends_with(".xml") ? "text/xml; charset=utf-8" : "application/octet-stream";
}

DepotAnswer refusal(unsigned status, std::string text) {
  DepotAnswer answer;
  answer.status = status;
  answer.headers = {{"Content-Type", "text/plain; charset=utf-8"}};
  answer.content = std::make_shared<const std::string>(std::move(text) + "\n");
  answer.length = answer.content->size();
  return answer;
}

/// "/path?query" or "http://host/path" (what a proxy is sent) to "/path".
std::string_view path_of(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (target.starts_with(kScheme)) {
    const std::size_t slash = target.find('/', kScheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find_first_of("?#"));
}

bool read_number(std::string_view text, std::uint64_t& out) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failure == std::errc{} && end == text.data() + text.size();
}

struct ByteRange {
  std::size_t first = 0;
  std::size_t length = 0;  ///< 0: cannot be satisfied.
};

/// One range of bytes. Empty for several and for anything else, which RFC 9110 lets a server ignore.
std::optional<ByteRange> read_range(std::string_view text, std::size_t size) {
  constexpr std::string_view kUnit = "bytes=";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view from = text.substr(0, dash);
  const std::string_view to = text.substr(dash + 1);
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  if (from.empty()) {  // The last so many bytes.
    std::uint64_t count = 0;
    if (!read_number(to, count)) return std::nullopt;
    count = std::min<std::uint64_t>(count, size);
    return ByteRange{static_cast<std::size_t>(size - count), static_cast<std::size_t>(count)};
  }
  if (!read_number(from, first)) return std::nullopt;
  if (to.empty()) {
    last = size;
  } else if (!read_number(to, last) || last < first) {
    return std::nullopt;
  }
  if (first >= size) return ByteRange{};
  last = std::min<std::uint64_t>(last, size - 1);
  return ByteRange{static_cast<std::size_t>(first), static_cast<std::size_t>(last - first + 1)};
}

DepotAnswer serve(const DepotFiles::File& file, const DepotRequest& request) {
  const bool head = request.method == "HEAD";
  const std::size_t size = file.content->size();
  DepotAnswer answer;
  answer.headers = {{"ETag", file.etag}, {"Accept-Ranges", "bytes"}, {"Cache-Control", "no-cache"}};
  answer.content = file.content;
  answer.length = size;
  answer.with_body = !head;
  if (!request.if_none_match.empty() &&
      (request.if_none_match == "*" || request.if_none_match.find(file.etag) != std::string_view::npos)) {
    answer.status = 304;
    answer.with_body = false;
    return answer;
  }
  answer.headers.emplace_back("Content-Type", file.type);
  const bool same = request.if_range.empty() || request.if_range == file.etag;
  const auto range = head || !same ? std::nullopt : read_range(request.range, size);
  if (!range) return answer;
  if (range->length == 0) {
    answer = refusal(416, fmt::format("the file has {} bytes", size));
    answer.headers.emplace_back("Content-Range", fmt::format("bytes */{}", size));
    return answer;
  }
  answer.status = 206;
  answer.first = range->first;
  answer.length = range->length;
  answer.headers.emplace_back(
      "Content-Range", fmt::format("bytes {}-{}/{}", range->first, range->first + range->length - 1, size));
  return answer;
}

bool is_address(const std::string& host) {
  unsigned char ignored[16];
  return ::inet_pton(AF_INET, host.c_str(), ignored) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), ignored) == 1;
}

/// A tunnel never leads anywhere else: nothing is dialled, the next request is answered here. A name may be
/// one that only others know us by; another port or address is certainly not us.
DepotAnswer connect(const DepotRequest& request, const OwnAddress& own, bool in_tunnel) {
  if (in_tunnel) return refusal(400, "there is a tunnel already");
  const std::size_t colon = request.target.rfind(':');
  std::uint64_t port = 0;
  if (colon == std::string_view::npos || !read_number(request.target.substr(colon + 1), port))
    return refusal(400, "CONNECT needs HOST:PORT");
  std::string host{request.target.substr(0, colon)};
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || port != own.port || (is_address(host) && host != own.ip))
    return refusal(403, "this is no proxy: CONNECT leads to this depot alone");
  DepotAnswer answer;
  answer.tunnel = true;
  return answer;
}

}  // namespace

DepotFiles::DepotFiles(std::vector<Member> files) {
  for (Member& file : files) {
    const std::string etag = "\"" + sha256_hex(file.content).substr(0, 32) + "\"";
    const std::string_view type = type_of(file.name);
    files_["/" + file.name] = {std::make_shared<const std::string>(std::move(file.content)), type, etag};
  }
}

const DepotFiles::File* DepotFiles::find(std::string_view path) const {
  const auto found = files_.find(path);
  return found == files_.end() ? nullptr : &found->second;
}

DepotAnswer answer_depot(const DepotFiles& files, const DepotRequest& request, const OwnAddress& own,
                         bool in_tunnel) {
  if (request.http11 && request.host.empty()) return refusal(400, "the Host header is missing");
  if (request.method == "CONNECT") return connect(request, own, in_tunnel);
  if (request.method != "GET" && request.method != "HEAD") {
    DepotAnswer answer = refusal(405, "only GET and HEAD are served here");
    answer.headers.emplace_back("Allow", "GET, HEAD");
    return answer;
  }
  if (const DepotFiles::File* const file = files.find(path_of(request.target))) return serve(*file, request);
  DepotAnswer answer = refusal(404, "there is no such file; /index.xml is the depot's index");
  answer.with_body = request.method != "HEAD";
  return answer;
}

}  // namespace culvert::firewall
