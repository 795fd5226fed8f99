// The listening end of a port check: holds many ports, answers on each, and dials back to whoever asks it to.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tunnel-agent/doctor/probe_address.hpp"

namespace culvert {

/// How the check went, as the other end tells it.
struct EndReport {
  std::vector<std::uint16_t> closed;
  std::vector<std::uint16_t> unproven;   ///< Another program has them.
  std::vector<std::uint16_t> unchecked;  ///< Nobody dialled them.
};

class PortAnswerer {
 public:
  /// Opens what can be opened; what cannot is in taken().
  explicit PortAnswerer(const std::vector<std::uint16_t>& ports);

  const std::vector<std::uint16_t>& held() const { return held_; }
  /// Port -> who has it, or why it cannot be opened.
  const std::map<std::uint16_t, std::string>& taken() const { return taken_; }

  /// Answers until the deadline, until `stop` becomes readable, or until the other end says that it is done:
  /// on a connection that sent a token before, so that one line of a stranger ends nothing.
  /// @param stop  a descriptor, or -1.
  void run(Instant deadline, int stop);

  bool was_ended() const { return ended_; }
  /// What the other end could not get through to, could not prove and did not get to, as it said at its end.
  const EndReport& end() const { return end_; }
  const std::set<std::uint16_t>& connected() const { return connected_; }
  /// Bytes came in there, and the answer went out.
  const std::set<std::uint16_t>& answered() const { return answered_; }
  /// Dialled back: every port that passed bytes, and every one that did not.
  const std::set<std::uint16_t>& passed_back() const { return passed_back_; }
  const std::set<std::uint16_t>& failed_back() const { return failed_back_; }

 private:
  struct Listener {
    UniqueFd fd;
    std::uint16_t port = 0;
  };
  struct Guest {
    UniqueFd fd;
    std::uint16_t port = 0;
    ProbeAddress address;
    std::string received;
    bool passed = false;  ///< A token came, and went back.
    bool gone = false;
  };

  void accept(const Listener& listener);
  void read(Guest& guest);
  void answer(Guest& guest, const std::string& line);
  void dial_back(Guest& guest, const std::vector<std::uint16_t>& ports, const std::string& token);

  std::vector<Listener> listeners_;
  std::list<Guest> guests_;
  std::vector<std::uint16_t> held_;
  std::map<std::uint16_t, std::string> taken_;
  std::set<std::uint16_t> connected_;
  std::set<std::uint16_t> answered_;
  std::set<std::uint16_t> passed_back_;
  std::set<std::uint16_t> failed_back_;
  EndReport end_;
  bool ended_ = false;
};

}  // namespace culvert
