#include "tests/support/wan/flows.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace culvert::wan {
namespace {

constexpr std::int64_t kForgetAfterNs = 10'000'000'000;

std::size_t index(Way way) {
  return static_cast<std::size_t>(way);
}

bool later(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) > 0;
}

const char* name(Fate fate) {
  switch (fate) {
    case Fate::Live:
      return "live";
    case Fate::BlackHole:
      return "black_hole";
    case Fate::Reset:
      return "reset";
    case Fate::Truncating:
      return "truncating";
    case Fate::Truncated:
      return "truncated";
    case Fate::Rebound:
      return "rebound";
  }
  return "";
}

}  // namespace

Flows::Key Flows::key(std::uint32_t near_address, std::uint16_t near_port, std::uint32_t far_address,
                      std::uint16_t far_port) {
  return std::uint64_t{near_address & 0xffff} << 48 | std::uint64_t{far_address & 0xffff} << 32 |
         std::uint32_t{near_port} << 16 | far_port;
}

Verdict Flows::enter(Packet& packet, Way way, std::int64_t now_ns) {
  if (!packet.is_tcp()) return {};
  const bool up = way == Way::Up;
  const std::uint32_t near_address = up ? packet.source() : packet.destination();
  const std::uint32_t far_address = up ? packet.destination() : packet.source();
  const std::uint16_t near_port = packet.port(!up);
  const std::uint16_t far_port = packet.port(up);
  if (!up) {
    // To the new port of a rebound flow: only the far end's reset comes here, and it may go to the near end.
    if (const auto at = rebound_.find(near_port); at != rebound_.end()) {
      packet.flow = at->second;
      return {};
    }
  }
  const Key k = key(near_address, near_port, far_address, far_port);
  auto at = numbers_.find(k);
  const bool opens = (packet.flags() & (kSyn | kAck)) == kSyn;
  // Ports are used again where many connections are made, and the near end forgets one that was never
  // answered without a word: only a SYN that is sent again belongs to the connection that we know.
  const bool is_other =
      at != numbers_.end() && opens && flows_.at(at->second).syn_end != packet.sequence_end();
  if (is_other) flows_.at(at->second).reset_seen = true;
  if (at == numbers_.end() || is_other) {
    const std::uint64_t number = ++last_number_;
    Flow flow;
    flow.number = number;
    flow.near_address = near_address;
    flow.far_address = far_address;
    flow.near_port = near_port;
    flow.far_port = far_port;
    flow.begun_ns = now_ns;
    flow.syn_end = packet.sequence_end();
    flow.reset_seen = !opens;  // The rest of a connection that we have forgotten; not one to be cut.
    flows_.emplace(number, flow);
    at = numbers_.insert_or_assign(k, number).first;
  }
  Flow& flow = flows_.at(at->second);
  packet.flow = flow.number;
  flow.last_ns = now_ns;
  return judge(flow, packet, way);
}

Verdict Flows::judge(Flow& flow, Packet& packet, Way way) {
  if ((packet.flags() & kAck) != 0) flow.acknowledged[index(way)] = packet.acknowledged();
  if (way == Way::Down && (packet.flags() & (kSyn | kAck)) == (kSyn | kAck)) flow.answered = true;
  // A reset answers what carries an acknowledgement; it never answers a reset.
  const auto refuse = [&]() -> Verdict {
    const bool answerable = (packet.flags() & (kRst | kAck)) == kAck;
    return {false, answerable ? reset_for(flow, way, packet.acknowledged()) : nullptr};
  };
  switch (flow.fate) {
    case Fate::Live:
      break;
    case Fate::BlackHole:
      return {false, nullptr};
    case Fate::Reset:
      return refuse();
    case Fate::Truncating:
      if (packet.payload_size() > 1) {
        packet.truncate_with_fin(packet.payload_size() / 2);
        packet.spared = true;
        flow.fate = Fate::Truncated;
        flow.truncated = way;
      }
      break;
    case Fate::Truncated:
      if (way == flow.truncated) return refuse();
      // A peer that closed takes acknowledgements, and answers data by a reset.
      return flow.fin_arrived && packet.payload_size() > 0 ? refuse() : Verdict{false, nullptr};
    case Fate::Rebound:
      if (way == Way::Down) return {false, nullptr};
      packet.change_port(false, flow.new_port);
      break;
  }
  if ((packet.flags() & kRst) != 0) flow.reset_seen = true;
  if ((packet.flags() & kFin) != 0) flow.fin_seen[index(way)] = true;
  ++flow.packets[index(way)];
  flow.bytes[index(way)] += packet.size;
  return {};
}

bool Flows::leave(Packet& packet, Way way) {
  if (packet.flow == 0 || packet.spared) {
    if (Flow* flow = find(packet.flow); flow != nullptr && (packet.flags() & kFin) != 0)
      flow->fin_arrived = true;
    return true;
  }
  Flow* flow = find(packet.flow);
  if (flow == nullptr) return true;
  if (flow->fate == Fate::BlackHole || flow->fate == Fate::Reset) return false;
  if (flow->fate == Fate::Rebound && way == Way::Down) {
    if (packet.port(true) != flow->new_port) return false;
    packet.change_port(true, flow->near_port);
    flow->reset_seen = flow->reset_seen || (packet.flags() & kRst) != 0;
    return true;
  }
  std::uint32_t& end = flow->delivered_end[index(way)];
  const bool first = (packet.flags() & kSyn) != 0;
  if (first || later(packet.sequence_end(), end)) end = packet.sequence_end();
  return true;
}

std::vector<Flow*> Flows::live(std::uint16_t far_port) {
  std::vector<Flow*> found;
  for (auto& [number, flow] : flows_) {
    if (flow.fate == Fate::Live && flow.answered && !flow.ended() &&
        (far_port == 0 || flow.far_port == far_port)) {
      found.push_back(&flow);
    }
  }
  return found;
}

Flow* Flows::find(std::uint64_t number) {
  const auto at = flows_.find(number);
  return at == flows_.end() ? nullptr : &at->second;
}

void Flows::rebind(Flow& flow) {
  const auto taken = [this](std::uint16_t port) {
    return rebound_.contains(port) || std::any_of(flows_.begin(), flows_.end(), [port](const auto& entry) {
             return entry.second.near_port == port;
           });
  };
  std::uint16_t port = 1024;
  while (taken(port)) ++port;
  flow.new_port = port;
  flow.fate = Fate::Rebound;
  rebound_.emplace(port, flow.number);
}

std::array<Packet*, 2> Flows::reset(Flow& flow) {
  flow.fate = Fate::Reset;
  flow.reset_seen = true;
  // What an end expects next is what arrived there, or what it has acknowledged if that is further.
  const auto expected = [&flow](Way to) {
    const std::uint32_t arrived = flow.delivered_end[index(to)];
    const std::uint32_t acknowledged = flow.acknowledged[index(opposite(to))];
    return later(acknowledged, arrived) ? acknowledged : arrived;
  };
  return {reset_for(flow, Way::Up, expected(Way::Down)), reset_for(flow, Way::Down, expected(Way::Up))};
}

Packet* Flows::reset_for(const Flow& flow, Way of_sender, std::uint32_t sequence) {
  return of_sender == Way::Up
             ? make_reset(pool_, flow.far_address, flow.far_port, flow.near_address, flow.near_port, sequence)
             : make_reset(pool_, flow.near_address, flow.near_port, flow.far_address, flow.far_port,
                          sequence);
}

std::string Flows::json() {
  std::string text = "[";
  for (const auto& [number, flow] : flows_) {
    char line[400];
    std::snprintf(
        line, sizeof line,
        "%s{\"flow\": %llu, \"near_port\": %u, \"far_port\": %u, \"fate\": \"%s\", \"open\": %s, "
        "\"up_packets\": %llu, \"up_bytes\": %llu, \"down_packets\": %llu, \"down_bytes\": %llu, "
        "\"begun_us\": %lld, \"last_us\": %lld}",
        text.size() > 1 ? ", " : "", static_cast<unsigned long long>(number), flow.near_port, flow.far_port,
        name(flow.fate), flow.answered && !flow.ended() && flow.fate == Fate::Live ? "true" : "false",
        static_cast<unsigned long long>(flow.packets[0]), static_cast<unsigned long long>(flow.bytes[0]),
        static_cast<unsigned long long>(flow.packets[1]), static_cast<unsigned long long>(flow.bytes[1]),
        static_cast<long long>(flow.begun_ns / 1000), static_cast<long long>(flow.last_ns / 1000));
    text += line;
  }
  return text + "]";
}

void Flows::forget_old(std::int64_t now_ns) {
  for (auto at = flows_.begin(); at != flows_.end();) {
    const Flow& flow = at->second;
    if (!flow.is_over() || now_ns - flow.last_ns < kForgetAfterNs) {
      ++at;
      continue;
    }
    const Key k = key(flow.near_address, flow.near_port, flow.far_address, flow.far_port);
    if (const auto number = numbers_.find(k); number != numbers_.end() && number->second == flow.number) {
      numbers_.erase(number);
    }
    if (flow.new_port != 0) rebound_.erase(flow.new_port);
    at = flows_.erase(at);
  }
}

}  // namespace culvert::wan
