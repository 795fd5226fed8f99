#include "bench/micro/session_pair.hpp"

#include <algorithm>
#include <cstring>

#include "tunnel-core/base/assert.hpp"

namespace culvert::bench {
namespace {

constexpr LaneId kLane{1};
constexpr std::size_t kSlabs = 8192;

}  // namespace

SessionPair::End::End(Role role, Instant now)
    : region(kSlabs),
      slabs(region.span()),
      process(4_GiB),
      session({.role = role, .memory = 1_GiB}, slabs, process, now) {}

SessionPair::SessionPair() : agent(Role::Agent, now_), gateway(Role::Gateway, now_) {
  for (End* end : {&agent, &gateway}) {
    const bool attached = static_cast<bool>(end->session.attach_lane(kLane, 1, 1_GiB, now_));
    TUNNEL_ASSERT(attached);
  }
  carry();
}

StreamId SessionPair::open() {
  const auto id = agent.session.open_stream({"target", "192.0.2.7:1", kDefaultWeight}, nullptr, now_);
  TUNNEL_ASSERT(id);
  carry();
  return *id;
}

void SessionPair::close(StreamId stream) {
  agent.session.finish_stream(stream, now_);
  gateway.session.finish_stream(stream, now_);
  carry();
  agent.session.handle_fin_delivered(stream, now_);
  gateway.session.handle_fin_delivered(stream, now_);
  carry();
}

std::size_t SessionPair::write(StreamId stream, std::size_t n) {
  MutableByteSpan spans[17];
  const std::size_t count = agent.session.prepare_read(stream, spans);
  std::size_t taken = 0;
  for (std::size_t i = 0; i < count; ++i) taken += std::min(spans[i].size(), n - taken);
  if (count != 0) agent.session.commit_read(stream, taken, now_);
  return taken;
}

std::size_t SessionPair::read(StreamId stream) {
  std::size_t total = 0;
  for (;;) {
    ByteSpan spans[17];
    const std::size_t count = gateway.session.readable(stream, spans);
    std::size_t n = 0;
    for (std::size_t i = 0; i < count; ++i) n += spans[i].size();
    if (n == 0) return total;
    gateway.session.consume(stream, n, now_);
    total += n;
  }
}

std::size_t SessionPair::carry() {
  std::size_t frames = 0;
  for (std::size_t moved = 1; moved != 0;) {
    const std::size_t there = carry_one_way(agent, gateway);
    moved = there + carry_one_way(gateway, agent);
    frames += there;
  }
  return frames;
}

std::size_t SessionPair::carry_one_way(End& from, End& to) {
  std::size_t frames = 0;
  while (const auto frame = from.session.poll_transmit(kLane, now_)) {
    const SlabRef slab = to.slabs.allocate();
    TUNNEL_ASSERT(slab);
    std::memcpy(slab.data(), frame->head.data(), frame->head.size());
    if (!frame->payload.empty()) {
      std::memcpy(slab.data() + frame->head.size(), frame->payload.data(), frame->payload.size());
    }
    to.session.handle_bytes(kLane, slab, {slab.data(), frame->size()}, now_);
    ++frames;
  }
  take_events(to);
  return frames;
}

void SessionPair::take_events(End& end) {
  while (const auto event = end.session.poll_stream_event()) {
    if (event->signal == kOffered) end.session.accept_stream(event->stream, nullptr, now_);
  }
  while (const auto event = end.session.poll_session_event()) {
    TUNNEL_ASSERT(event->kind != SessionEvent::Kind::Ended);
  }
}

void SessionPair::pass(Duration time) {
  now_ += time;
  for (End* end : {&agent, &gateway}) {
    end->session.handle_lane_alive(kLane, now_);
    end->session.handle_timeout(now_);
  }
  carry();
}

}  // namespace culvert::bench
