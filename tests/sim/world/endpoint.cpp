#include "tests/sim/world/endpoint.hpp"

#include <algorithm>
#include <new>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {
namespace {

struct FreeRegions {
  ~FreeRegions() {
    for (const MutableByteSpan bytes : all) ::operator delete[](bytes.data(), std::align_val_t{kSlabSize});
  }
  std::vector<MutableByteSpan> all;
};

constexpr std::size_t kMostFreeRegions = 4;

std::vector<MutableByteSpan>& free_regions() {
  thread_local FreeRegions regions;
  return regions.all;
}

}  // namespace

Region::Region(std::size_t slabs) {
  const std::size_t size = slabs * kSlabSize;
  auto& free = free_regions();
  const auto fitting =
      std::ranges::find_if(free, [size](MutableByteSpan bytes) { return bytes.size() == size; });
  if (fitting != free.end()) {
    bytes_ = *fitting;
    free.erase(fitting);
    return;
  }
  bytes_ = {static_cast<std::byte*>(::operator new[](size, std::align_val_t{kSlabSize})), size};
}

Region::~Region() {
  auto& free = free_regions();
  free.push_back(bytes_);
  if (free.size() <= kMostFreeRegions) return;
  ::operator delete[](free.front().data(), std::align_val_t{kSlabSize});
  free.erase(free.begin());
}

Endpoint::Endpoint(const SessionConfig& config, std::size_t slab_count, ByteCount process_ceiling,
                   Instant now)
    : side(static_cast<std::size_t>(config.role)),
      region_(slab_count),
      slabs(region_.span()),
      process(process_ceiling),
      session(config, slabs, process, now) {}

void Endpoint::open_stream(Habits habits, Random& random, Instant now) {
  const OpenInfo info{"target-" + std::to_string(random.below(10)), "192.0.2.7:51234",
                      static_cast<std::uint8_t>(random.chance(70) ? kDefaultWeight : random.between(1, 16))};
  const auto opened = session.open_stream(info, nullptr, now);
  if (!opened) {
    const Errc code = opened.error().code();
    expect(code == Errc::StreamLimitReached || code == Errc::MemoryLimitReached || has_ended ||
               (farewell.may_end && code == Errc::SessionClosed) ||
               (farewell.may_drain && code == Errc::Draining),
           "only limits refuse a stream");
    return;
  }
  StreamRecord& record = (*records)[opened->value];
  record.info = info;
  auto& application = applications_[opened->value];
  application = std::make_unique<Application>(*opened, side, habits, record, now);
  application->set_accepted();
  active_.push_back(application.get());
}

bool Endpoint::take_session_events() {
  bool any = false;
  while (auto event = session.poll_session_event()) {
    any = true;
    if (event->kind == SessionEvent::Kind::LaneDead) dead_lanes.push_back(event->lane);
    if (event->kind == SessionEvent::Kind::LaneClosed) closed_lanes.push_back(event->lane);
    if (event->kind == SessionEvent::Kind::PeerDraining)
      expect(farewell.may_drain, "a peer drains that was asked to");
    if (event->kind != SessionEvent::Kind::Ended) continue;
    has_ended = true;
    const bool in_order = event->reason == Errc::SessionClosed || event->reason == Errc::ShuttingDown ||
                          event->reason == Errc::ResumeDeadlinePassed ||
                          event->reason == Errc::UnknownSession;
    if (!farewell.may_end || !in_order)
      throw Failure{"the session ended: " + std::string{errc_name(event->reason)} + " " + event->text};
  }
  return any;
}

bool Endpoint::act(WireTap& tap, Random& random, Instant now) {
  bool acted = take_session_events();
  while (auto event = session.poll_stream_event()) {
    acted = true;
    handle_stream_event(*event, random, now);
  }
  for (Application* const application : active_) {
    if (application->next_act() <= now) acted = application->act(session, tap, random, now) || acted;
  }
  if (acted) forget_over(tap);
  return acted;
}

void Endpoint::forget_over(WireTap& tap) {
  std::erase_if(active_, [&](Application* application) {
    if (application->over()) tap.flow(application->id(), 1 - side).over = true;
    return application->over();
  });
}

void Endpoint::handle_stream_event(const StreamEvent& event, Random& random, Instant now) {
  const auto at = applications_.find(event.stream.value);
  StreamRecord& record = (*records)[event.stream.value];
  if (event.signal != kOffered) {
    expect(at != applications_.end(), "events are of streams that the owner knows");
    // A refusal for want of memory or of an answer in time is no broken promise.
    const bool limited = event.reason == Errc::MemoryLimitReached ||
                         event.reason == Errc::StreamLimitReached || event.reason == Errc::OpenTimedOut;
    const bool drained = farewell.may_drain && event.reason == Errc::Draining;
    if (event.signal == kReset && (limited || drained || farewell.may_end)) record.may_be_reset = true;
    return at->second->handle_event(session, event);
  }
  expect(at == applications_.end(), "a stream is offered once");
  const OpenInfo* const info = session.open_info(event.stream);
  expect(info != nullptr && *info == record.info, "a stream is offered as it was opened");
  const Habits habits = offered_habits ? *offered_habits : Habits::random(random, most_bytes);
  auto& application = applications_[event.stream.value];
  application = std::make_unique<Application>(event.stream, side, habits, record, now);
  active_.push_back(application.get());
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
  for (const Application* const application : active_) next = std::min(next, application->next_act());
  return next;
}

std::string Endpoint::describe(WireTap& tap) const {
  std::string all;
  for (const Application* const application : active_) {
    const StreamId id = application->id();
    const Flow& out = tap.flow(id, side);
    all += " " + std::to_string(id.value) + (side == 0 ? "a" : "g") + " written " +
           std::to_string((*records)[id.value].written[side]) + " sent " + std::to_string(out.sent) +
           " accepted " + std::to_string(out.accepted) + " consumed " + std::to_string(out.consumed) +
           " granted " + std::to_string(out.granted) + " returned " + std::to_string(out.returned) + ";";
  }
  return all;
}

void Endpoint::check_memory() const {
  const SessionStats stats = session.stats();
  expect(stats.memory_bytes <= stats.memory_ceiling, "a session keeps to its ceiling");
  expect(process.used() == stats.memory_bytes, "the process knows what its session holds");
  expect(process.used() <= process.ceiling(), "a process keeps to its ceiling");
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

void Endpoint::check_lane_close(LaneId lane, const LaneLedger (&ledgers)[2], Instant now) const {
  if (ledgers[side].state_frames == ledgers[1 - side].receipted) return;
  const auto lanes = session.lane_stats(now);
  const bool suspected =
      std::ranges::any_of(lanes, [lane](const LaneStats& each) { return each.id == lane && each.suspected; });
  expect(suspected, "a lane is given back when all it carried is receipted, or went to others");
}

}  // namespace culvert::sim
