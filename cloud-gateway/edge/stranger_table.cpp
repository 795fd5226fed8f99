#include "cloud-gateway/edge/stranger_table.hpp"

#include <algorithm>

namespace culvert {
namespace {

namespace ip = boost::asio::ip;

std::string group_text(const ip::address& address) {
  if (address.is_v4()) return address.to_string();
  const ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, v6).to_string();
  auto bytes = v6.to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
  return ip::address_v6{bytes}.to_string();
}

}  // namespace

StrangerTable::Id StrangerTable::enter(const ip::address& address) {
  const Id id = next_++;
  std::string group = group_text(address);
  groups_[group].insert(id);
  group_of_.emplace(id, std::move(group));
  return id;
}

void StrangerTable::leave(Id id) {
  const auto at = group_of_.find(id);
  if (at == group_of_.end()) return;
  const auto group = groups_.find(at->second);
  group->second.erase(id);
  if (group->second.empty()) groups_.erase(group);
  group_of_.erase(at);
}

std::optional<StrangerTable::Id> StrangerTable::next_to_leave() const {
  const auto largest = std::max_element(groups_.begin(), groups_.end(), [](const auto& a, const auto& b) {
    return a.second.size() < b.second.size();
  });
  if (largest == groups_.end()) return std::nullopt;
  return *largest->second.begin();
}

}  // namespace culvert
