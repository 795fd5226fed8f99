// What the depot answers to a request: files it has, a part of one, or a refusal. No socket here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "firewall-vib/archive.hpp"

namespace culvert::firewall {

/// The files of a depot, held in memory: nothing else can be asked for. Never changes; a new one takes its
/// place.
class DepotFiles {
 public:
  explicit DepotFiles(std::vector<Member> files);

  struct File {
    std::shared_ptr<const std::string> content;  ///< Also held by answers that are being written.
    std::string_view type;
    std::string etag;
  };
  /// Null when there is none. @param path  with its leading slash.
  const File* find(std::string_view path) const;

 private:
  std::map<std::string, File, std::less<>> files_;
};

/// What matters of a request. Empty: the header is absent.
struct DepotRequest {
  std::string_view method;
  std::string_view target;
  std::string_view host;
  std::string_view range;
  std::string_view if_range;
  std::string_view if_none_match;
  bool http11 = true;
};

/// Where the connection ends on our side, which a CONNECT may name.
struct OwnAddress {
  std::string ip;
  std::uint16_t port = 0;
};

struct DepotAnswer {
  unsigned status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::shared_ptr<const std::string> content;  ///< Null: no body and no length, as after CONNECT.
  std::size_t first = 0;                       ///< The part of `content` that is meant.
  std::size_t length = 0;                      ///< Content-Length.
  bool with_body = true;                       ///< Not for HEAD and 304.
  bool tunnel = false;  ///< CONNECT is granted: the next request comes on this connection.
};

/// GET and HEAD of own files, one range of bytes, If-None-Match; CONNECT to the depot itself, which vCenter's
/// proxy and hosts behind it use: its answer has neither Content-Length nor Transfer-Encoding. Everything
/// else is refused.
/// @param in_tunnel  whether a CONNECT was granted on this connection already.
DepotAnswer answer_depot(const DepotFiles& files, const DepotRequest& request, const OwnAddress& own,
                         bool in_tunnel);

}  // namespace culvert::firewall
