#include "tests/sim/world/endpoint.hpp"

#include <algorithm>
#include <new>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {

Endpoint::Endpoint(const SessionConfig& config, std::size_t slab_count, ByteCount process_ceiling,
                   Instant now)
    : side(static_cast<std::size_t>(config.role)),
      region_bytes_(slab_count * kSlabSize),
      region_(static_cast<std::byte*>(::operator new[](region_bytes_, std::align_val_t{kSlabSize}))),
      slabs({region_.get(), region_bytes_}),
      process(process_ceiling),
      session(config, slabs, process, now) {}

void Endpoint::open_stream(Habits habits, Instant now) {
  const auto opened = session.open_stream({"target", "192.0.2.7:51234", kDefaultWeight}, nullptr, now);
  if (!opened) {
    ++refused;
    const Errc code = opened.error().code();
    expect(code == Errc::StreamLimitReached || code == Errc::MemoryLimitReached || has_ended,
           "only limits refuse a stream");
    return;
  }
  StreamRecord& record = (*records)[opened->value];
  auto& application = applications[opened->value];
  application = std::make_unique<Application>(*opened, side, habits, record, now);
  application->set_accepted();
}

bool Endpoint::act(WireTap& tap, Random& random, Instant now) {
  bool acted = false;
  while (auto event = session.poll_session_event()) {
    acted = true;
    if (event->kind == SessionEvent::Kind::LaneDead) dead_lanes.push_back(event->lane);
    if (event->kind == SessionEvent::Kind::LaneClosed) closed_lanes.push_back(event->lane);
    if (event->kind == SessionEvent::Kind::Ended) {
      has_ended = true;
      if (!may_end)
        throw Failure{"the session ended: " + std::string{errc_name(event->reason)} + " " + event->text};
    }
  }
  while (auto event = session.poll_stream_event()) {
    acted = true;
    handle_stream_event(*event, random, now);
  }
  for (auto& [id, application] : applications) acted = application->act(session, tap, random, now) || acted;
  return acted;
}

void Endpoint::handle_stream_event(const StreamEvent& event, Random& random, Instant now) {
  const auto at = applications.find(event.stream.value);
  if (event.signal != kOffered) {
    expect(at != applications.end(), "events are of streams that the owner knows");
    StreamRecord& record = (*records)[event.stream.value];
    // A refusal for want of memory or of an answer in time is no broken promise.
    if (event.reason == Errc::MemoryLimitReached || event.reason == Errc::StreamLimitReached ||
        event.reason == Errc::OpenTimedOut) {
      record.may_be_reset = record.may_be_reset || event.signal == kReset;
    }
    if (may_end) record.may_be_reset = true;
    return at->second->handle_event(session, event);
  }
  expect(at == applications.end(), "a stream is offered once");
  applications[event.stream.value] = std::make_unique<Application>(
      event.stream, side, Habits::random(random, most_bytes), (*records)[event.stream.value], now);
}

void Endpoint::receive(LaneId lane, ByteSpan bytes, Random& random, bool cut_anywhere, Instant now) {
  while (!bytes.empty()) {
    const std::size_t most = std::min(bytes.size(), kSlabSize);
    std::size_t n = most;
    if (cut_anywhere) {
      n = random.spread(most);
    } else if (bytes.size() >= kFrameHeaderSize) {
      const auto header = decode_header(bytes.data());
      if (header) n = std::min<std::size_t>(most, kFrameHeaderSize + header->length);
    }
    const SlabRef slab = slabs.allocate();
    expect(static_cast<bool>(slab), "the pool has room beyond what sessions may reserve");
    std::copy_n(bytes.begin(), n, slab.data());
    session.handle_bytes(lane, slab, {slab.data(), n}, now);
    bytes = bytes.subspan(n);
  }
}

Instant Endpoint::next_act() const {
  Instant next = Instant::max();
  for (const auto& [id, application] : applications) next = std::min(next, application->next_act());
  return next;
}

bool Endpoint::all_over() const {
  return std::ranges::all_of(applications, [](const auto& entry) { return entry.second->over(); });
}

void Endpoint::check_memory() const {
  const SessionStats stats = session.stats();
  expect(stats.memory_bytes <= stats.memory_ceiling, "a session keeps to its ceiling");
  expect(process.used() >= stats.memory_bytes, "the process knows what its session holds");
  // Each direction may exceed its reservation by the slabs at the two edges of its window, each lane holds a
  // cut frame.
  const std::size_t slack = (stats.streams * 3 + session.lane_count() + 1) * kSlabSize;
  expect(slabs.in_use_bytes() <= stats.memory_bytes + slack, "slabs in use are reserved, but for the slack");
}

bool Endpoint::all_forgotten(std::uint32_t last_id) const {
  for (std::uint32_t id = 1; id <= last_id; ++id) {
    if (session.open_info(StreamId{id}) != nullptr) return false;
  }
  return true;
}

void Endpoint::check_empty() const {
  const SessionStats stats = session.stats();
  expect(stats.streams == 0, "no stream is counted open at the end");
  expect(stats.backlog_bytes == 0, "no backlog at the end");
  expect(stats.memory_bytes == 0 && process.used() == 0, "all reserved memory returns");
  expect(slabs.in_use() == 0, "all slabs return");
}

}  // namespace culvert::sim
