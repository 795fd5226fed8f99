#include "tunnel-agent/doctor/port_answerer.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "tunnel-agent/doctor/port_probe.hpp"
#include "tunnel-agent/doctor/port_talk.hpp"
#include "tunnel-agent/listen_socket.hpp"
#include "tunnel-core/daemon/port_holder.hpp"

namespace culvert {

namespace {

constexpr std::size_t kMostGuests = 512;
constexpr Duration kDialBack = 3s;
constexpr std::size_t kMostDialled = 256;

/// What a short sentence says of a port that could not be opened.
std::string holder_of(const Error& error, std::uint16_t port) {
  if (error.code() != Errc::PortInUse) return error.text();
  const std::string holder = port_holder(port);
  return holder.empty() ? "another process" : holder;
}

}  // namespace

PortAnswerer::PortAnswerer(const std::vector<std::uint16_t>& ports) {
  for (const std::uint16_t port : ports) {
    Forward forward;
    forward.port = port;
    auto sockets = open_listen_sockets(forward);
    if (!sockets) {
      taken_.emplace(port, holder_of(sockets.error(), port));
      continue;
    }
    held_.push_back(port);
    for (UniqueFd& fd : *sockets) listeners_.push_back({std::move(fd), port});
  }
}

void PortAnswerer::run(Instant deadline, int stop) {
  while (!ended_) {
    guests_.remove_if([](const Guest& guest) { return guest.gone; });
    std::vector<pollfd> waiting{{stop, POLLIN, 0}};  // poll() passes over -1.
    for (const Listener& listener : listeners_) waiting.push_back({listener.fd.value(), POLLIN, 0});
    std::vector<Guest*> guests;
    for (Guest& guest : guests_) {
      waiting.push_back({guest.fd.value(), POLLIN, 0});
      guests.push_back(&guest);
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    const int ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return;
    if (ready <= 0) continue;
    if (waiting[0].revents != 0) return;
    for (std::size_t i = 0; i < guests.size(); ++i) {
      if (waiting[1 + listeners_.size() + i].revents != 0) read(*guests[i]);
    }
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      if (waiting[1 + i].revents != 0) accept(listeners_[i]);
    }
  }
}

void PortAnswerer::accept(const Listener& listener) {
  Guest guest;
  guest.address.size = sizeof guest.address.storage;
  guest.fd = UniqueFd{::accept4(listener.fd.value(), reinterpret_cast<sockaddr*>(&guest.address.storage),
                                &guest.address.size, SOCK_NONBLOCK | SOCK_CLOEXEC)};
  if (!guest.fd) return;
  if (guests_.size() >= kMostGuests) guests_.pop_front();
  guest.port = listener.port;
  connected_.insert(guest.port);
  guest.gone = !send_line(guest.fd.value(), {{kGreeting, 1}});
  guests_.push_back(std::move(guest));
}

void PortAnswerer::read(Guest& guest) {
  std::array<char, 4096> piece{};
  const ssize_t n = ::recv(guest.fd.value(), piece.data(), piece.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    guest.gone = true;
    return;
  }
  guest.received.append(piece.data(), static_cast<std::size_t>(n));
  while (!guest.gone && !ended_) {
    const auto line = take_line(guest.received);
    if (!line) break;
    answer(guest, *line);
  }
  if (guest.received.size() > kLongestLine) guest.gone = true;
}

void PortAnswerer::answer(Guest& guest, const std::string& line) {
  const auto said = parse_line(line);
  if (!said) {
    guest.gone = true;
    return;
  }
  if (said->contains("dial")) return dial_back(guest, ports_in(*said, "dial"), text_in(*said, "token"));
  if (said->contains("end")) {
    if (!guest.passed) {  // Not one who checks: they send a token on each connection first.
      guest.gone = true;
      return;
    }
    end_ = {ports_in(*said, "closed"), ports_in(*said, "unproven"), ports_in(*said, "unchecked")};
    ended_ = true;
    send_line(guest.fd.value(), {{"end", true}});
    return;
  }
  std::vector<std::uint16_t> taken;
  for (const auto& [port, holder] : taken_) taken.push_back(port);
  guest.gone =
      !send_line(guest.fd.value(), {{"token", text_in(*said, "token")}, {"held", held_}, {"taken", taken}});
  guest.passed = true;
  answered_.insert(guest.port);
}

void PortAnswerer::dial_back(Guest& guest, const std::vector<std::uint16_t>& ports,
                             const std::string& token) {
  const std::size_t count = std::min(ports.size(), kMostDialled);
  const PortProbe probe = probe_ports(
      guest.address, {ports.begin(), ports.begin() + static_cast<std::ptrdiff_t>(count)}, token, kDialBack);
  nlohmann::json dialled = nlohmann::json::array();
  for (const PortFact& fact : probe.facts) {
    (fact.state == PortState::Open ? passed_back_ : failed_back_).insert(fact.port);
    dialled.push_back({{"port", fact.port}, {"state", state_name(fact.state)}, {"detail", fact.detail}});
  }
  guest.gone = !send_line(guest.fd.value(), {{"dialled", dialled}});
}

}  // namespace culvert
