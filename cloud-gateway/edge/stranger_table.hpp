// Who has to leave when the front is full: connections on which no site has shown itself, and of those the
// oldest of the address that holds the most. Somebody who takes all places takes them from himself.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace culvert {

class StrangerTable {
 public:
  using Id = std::uint64_t;

  /// The newest. Addresses of one IPv6 /64 are one: that is what a single host commonly has.
  Id enter(const boost::asio::ip::address& address);
  /// It has gone, or is no stranger any more. Nothing happens for an unknown id.
  void leave(Id id);
  std::optional<Id> next_to_leave() const;
  std::size_t size() const { return group_of_.size(); }

 private:
  std::map<Id, std::string> group_of_;
  std::map<std::string, std::set<Id>> groups_;
  Id next_ = 1;
};

}  // namespace culvert
