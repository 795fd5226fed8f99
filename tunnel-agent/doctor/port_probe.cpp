#include "tunnel-agent/doctor/port_probe.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tunnel-agent/doctor/neighbour.hpp"
#include "tunnel-agent/doctor/port_talk.hpp"

namespace culvert {

namespace {

// docs/doctor.md: an NDMP server speaks first. 4 bytes record mark, then sequence, time, type, message, …
constexpr std::size_t kNdmpHead = 4 + 6 * 4;
constexpr std::size_t kNdmpMessageAt = 4 + 3 * 4;
constexpr std::array<unsigned char, 4> kNotifyConnected{0, 0, 0x05, 0x02};
/// CONNECT_OPEN (0x900) of version 4: an agent answers it before anybody has logged in.
constexpr std::array<unsigned char, 32> kConnectOpen{0x80, 0, 0, 28, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
                                                     0,    0, 9, 0,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4};

enum class Step { Connecting, Greeting, Echo, Ndmp, Done };

struct Talk {
  UniqueFd fd;
  Step step = Step::Connecting;
  std::string received;
  PortFact fact;
};

bool is_ndmp(const std::string& bytes) {
  return bytes.size() >= kNdmpHead && (static_cast<unsigned char>(bytes[0]) & 0x80) != 0 &&
         std::memcmp(bytes.data() + kNdmpMessageAt, kNotifyConnected.data(), kNotifyConnected.size()) == 0;
}

class Prober {
 public:
  Prober(const ProbeAddress& address, const std::string& token, Instant deadline)
      : address_(address), token_(token), deadline_(deadline) {}

  PortProbe run(const std::vector<std::uint16_t>& ports) {
    for (const std::uint16_t port : ports) begin(port);
    while (poll_once()) {
    }
    for (Talk& talk : talks_) {
      if (talk.step != Step::Done) run_out(talk);
    }
    look_for_the_machine();
    PortProbe probe;
    for (Talk& talk : talks_) probe.facts.push_back(std::move(talk.fact));
    probe.open = std::move(open_);
    probe.open_port = open_port_;
    return probe;
  }

 private:
  void begin(std::uint16_t port) {
    Talk talk;
    talk.fact.port = port;
    ProbeAddress there = address_;
    if (there.storage.ss_family == AF_INET6)
      reinterpret_cast<sockaddr_in6&>(there.storage).sin6_port = htons(port);
    else
      reinterpret_cast<sockaddr_in&>(there.storage).sin_port = htons(port);
    const int reason = start_connect(there, talk.fd, 0, /*icmp=*/true);
    if (reason != EINPROGRESS) connected(talk, reason);
    talks_.push_back(std::move(talk));
  }

  bool poll_once() {
    std::vector<pollfd> waiting;
    std::vector<Talk*> waiters;
    for (Talk& talk : talks_) {
      if (talk.step == Step::Done) continue;
      waiting.push_back(
          {talk.fd.value(), static_cast<short>(talk.step == Step::Connecting ? POLLOUT : POLLIN), 0});
      waiters.push_back(&talk);
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now());
    if (waiting.empty() || left.count() <= 0) return false;
    const int ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return false;
    for (std::size_t i = 0; ready > 0 && i < waiting.size(); ++i) {
      if (waiting[i].revents != 0) handle(*waiters[i]);
    }
    return true;
  }

  void handle(Talk& talk) {
    if (talk.step == Step::Connecting) return connected(talk, connect_result(talk));
    std::array<char, 4096> piece{};
    const ssize_t n = ::recv(talk.fd.value(), piece.data(), piece.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return cut(talk);
    talk.received.append(piece.data(), static_cast<std::size_t>(n));
    judge(talk);
  }

  /// An ICMP answer that is kept wakes us a moment before the kernel has made it the socket's error: without
  /// the second look "port unreachable" could be taken for "no route".
  int connect_result(const Talk& talk) const {
    const int first = end_connect(talk.fd, deadline_);
    if (first != EHOSTUNREACH) return first;
    const int second = end_connect(talk.fd, deadline_);
    return second == EINPROGRESS ? first : second;
  }

  void connected(Talk& talk, int reason) {
    const auto icmp = reason == 0 || reason == EINPROGRESS ? std::nullopt : icmp_answer(talk.fd.value());
    std::string detail = std::strerror(reason);
    if (icmp) {
      // It may be read at the other end: "this machine" would be the wrong one there.
      detail = fmt::format("{} (ICMP from {})", icmp->prohibited ? "administratively prohibited" : detail,
                           icmp->from_here ? "the machine that dialled" : icmp->from);
    }
    switch (reach_of(reason, icmp)) {
      case Reach::Connected:
        keep_icmp(talk.fd.value(), address_.storage.ss_family, false);
        talk.step = Step::Greeting;
        return;
      case Reach::Refused:
        return end(talk, PortState::Refused, "refused");
      case Reach::Silent:
        return end(talk, PortState::Dropped, "no answer");
      case Reach::NoRoute:
        return end(talk, icmp && !icmp->from_here ? PortState::TurnedBack : PortState::Unreachable, detail);
      case Reach::Prohibited:
        return end(talk, PortState::Prohibited, detail);
      case Reach::Forbidden:
        return end(talk, PortState::Forbidden, detail);
      case Reach::Failed:
        return end(talk, PortState::Unreachable, detail);
    }
  }

  void judge(Talk& talk) {
    if (talk.step == Step::Ndmp) return end(talk, PortState::Open, "an NDMP agent answers");
    const bool ours = talk.received.starts_with('{');
    if (!ours && talk.step == Step::Greeting && (static_cast<unsigned char>(talk.received[0]) & 0x80) != 0 &&
        talk.received.size() < kNdmpHead)
      return;
    if (is_ndmp(talk.received)) {
      talk.step = Step::Ndmp;
      talk.received.clear();
      static_cast<void>(::send(talk.fd.value(), kConnectOpen.data(), kConnectOpen.size(), MSG_NOSIGNAL));
      return;
    }
    const auto line = take_line(talk.received);
    if (ours && !line && talk.received.size() < kLongestLine) return;
    const auto said = line ? parse_line(*line) : std::nullopt;
    if (!said) return foreign(talk);
    if (talk.step == Step::Greeting && said->contains(kGreeting)) {
      talk.step = Step::Echo;
      if (!send_line(talk.fd.value(), {{"token", token_}})) cut(talk);
      return;
    }
    if (talk.step == Step::Echo && text_in(*said, "token") == token_) {
      end(talk, PortState::Open, "bytes passed both ways");
      if (!open_) {
        open_ = std::move(talk.fd);
        open_port_ = talk.fact.port;
      }
      return;
    }
    foreign(talk);
  }

  void foreign(Talk& talk) {
    end(talk, PortState::Foreign, "another program answers there, which proves one way only");
  }

  void cut(Talk& talk) {
    end(talk, PortState::Silent,
        talk.step == Step::Greeting ? "connected, and ended without a byte"
                                    : "ended after the first bytes came");
  }

  void run_out(Talk& talk) {
    switch (talk.step) {
      case Step::Connecting:
        return end(talk, PortState::Dropped, "no answer: packets are silently dropped");
      case Step::Greeting:
        if (!talk.received.empty()) return foreign(talk);
        return end(talk, PortState::Silent, "connected, and then not a byte");
      case Step::Echo:
      case Step::Ndmp:
        return end(talk, PortState::Silent, "bytes came, and what was sent got no answer");
      case Step::Done:
        return;
    }
  }

  static bool may_be_absent(const Talk& talk) {
    return talk.fact.state == PortState::Dropped || talk.fact.state == PortState::Unreachable;
  }

  /// A machine that is not there drops nothing, and the kernel tells "no route" of it only after 3 s.
  void look_for_the_machine() {
    const IpAddress there = IpAddress::of(address_.storage);
    if (std::none_of(talks_.begin(), talks_.end(), may_be_absent) || !is_silent_neighbour(there)) return;
    for (Talk& talk : talks_) {
      if (may_be_absent(talk))
        end(talk, PortState::Absent,
            fmt::format("nothing answers at {} in the local network", there.to_text()));
    }
  }

  static void end(Talk& talk, PortState state, std::string detail) {
    talk.step = Step::Done;
    talk.fact.state = state;
    talk.fact.detail = std::move(detail);
  }

  const ProbeAddress& address_;
  const std::string& token_;
  const Instant deadline_;
  std::vector<Talk> talks_;
  UniqueFd open_;
  std::uint16_t open_port_ = 0;
};

constexpr std::array<std::pair<PortState, std::string_view>, 10> kStateNames{
    {{PortState::Open, "open"},
     {PortState::Refused, "refused"},
     {PortState::Dropped, "dropped"},
     {PortState::Silent, "silent"},
     {PortState::Foreign, "foreign"},
     {PortState::Unreachable, "unreachable"},
     {PortState::TurnedBack, "turned_back"},
     {PortState::Prohibited, "prohibited"},
     {PortState::Forbidden, "forbidden"},
     {PortState::Absent, "absent"}}};

}  // namespace

std::string_view state_name(PortState state) {
  for (const auto& [value, name] : kStateNames) {
    if (value == state) return name;
  }
  return "unreachable";
}

PortState port_state_of(std::string_view name) {
  for (const auto& [value, text] : kStateNames) {
    if (text == name) return value;
  }
  return PortState::Unreachable;
}

PortProbe probe_ports(const ProbeAddress& address, const std::vector<std::uint16_t>& ports,
                      const std::string& token, Duration patience) {
  return Prober{address, token, std::chrono::steady_clock::now() + patience}.run(ports);
}

}  // namespace culvert
