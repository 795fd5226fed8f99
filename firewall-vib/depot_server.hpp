// The depot over plain HTTP, on a thread of its own: neither a slow client nor a flood of them touches the
// data path.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "firewall-vib/depot_answer.hpp"

namespace culvert::firewall {

struct DepotListen {
  std::uint16_t port = 80;
  std::vector<std::string> bind;  ///< IP addresses; empty: all, IPv4 and IPv6.
};

struct DepotState {
  bool serving = false;
  std::uint16_t port = 0;  ///< As it is bound: DepotListen::port, or what the kernel chose for 0.
  std::string error;       ///< Why it does not serve, and what to do.
};

class DepotServer {
 public:
  static constexpr std::size_t kMaxConnections = 64;
  static constexpr std::chrono::seconds kRetry{30};

  /// Opens the port and serves. A port that somebody else has is tried again every `retry`, and state() says
  /// so: replication does not need the depot.
  explicit DepotServer(DepotListen listen, std::vector<Member> files,
                       std::chrono::milliseconds retry = kRetry);
  ~DepotServer();  ///< Ends all connections; joins the thread.
  DepotServer(const DepotServer&) = delete;
  DepotServer& operator=(const DepotServer&) = delete;

  /// Any thread: from now on these are served. Answers on their way are finished with the older ones.
  void replace(std::vector<Member> files);
  /// Any thread.
  DepotState state() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace culvert::firewall
