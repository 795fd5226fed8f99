#include "tests/sim/world/hostile_world.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {
namespace {

SessionConfig config_of(Role role, Random& random) {
  SessionConfig config;
  config.role = role;
  config.memory = ByteCount{random.between(1, 2) << 20};
  config.streams = random.between(1, 60);
  config.open_timeout = 1min;
  return config;
}

}  // namespace

HostileWorld::HostileWorld(Random random)
    : random_(random),
      role_(random_.chance(50) ? Role::Agent : Role::Gateway),
      malice_(random_.chance(40) ? 0 : static_cast<unsigned>(random_.between(1, 10))),
      session_(config_of(role_, random_), slabs_, process_, now_),
      peer_(role_, malice_, random_) {}

std::optional<std::string> HostileWorld::run() try {
  const std::uint64_t steps = random_.between(20, 1500);
  for (std::uint64_t i = 0; i < steps && !session_.ended(); ++i) {
    step();
    take_events();
    if (!session_.ended()) listen();
    check();
  }
  if (!session_.ended() && !lanes_.empty()) offend();
  if (!session_.ended()) session_.end(Errc::SessionClosed, "", now_);
  check_ended();
  return std::nullopt;
} catch (const Failure& failure) {
  return failure.what();
}

void HostileWorld::step() {
  if (lanes_.empty()) return change_lanes();
  switch (random_.below(20)) {
    default:
      return be_spoken_to();
    case 0:
    case 1:
    case 2:
    case 3:
      return use_streams();
    case 4:
      return random_.chance(30) ? change_lanes() : be_spoken_to();
    case 5:
      return pass_time();
  }
}

void HostileWorld::be_spoken_to() {
  const LaneId lane = *some_lane();
  const Bytes bytes = peer_.speak(lane);
  const auto header =
      bytes.size() >= kFrameHeaderSize ? decode_header(bytes.data()) : Error{Errc::FrameMalformed, ""};
  if (header && header->type == FrameType::SessionEnd) was_told_end_ = true;
  deliver(lane, bytes);
}

/// In up to two parts, so that frames arrive cut.
void HostileWorld::deliver(LaneId lane, ByteSpan bytes) {
  const std::size_t first = random_.chance(20) ? random_.below(bytes.size() + 1) : bytes.size();
  for (const ByteSpan part : {bytes.first(first), bytes.subspan(first)}) {
    if (part.empty()) continue;
    const SlabRef slab = slabs_.allocate();
    expect(static_cast<bool>(slab), "the pool has room beyond what the session may reserve");
    std::ranges::copy(part, slab.data());
    session_.handle_bytes(lane, slab, {slab.data(), part.size()}, now_);
  }
}

void HostileWorld::use_streams() {
  const StreamId id = some_stream();
  switch (random_.below(8)) {
    case 0: {
      const auto opened = session_.open_stream({"target", "", kDefaultWeight}, nullptr, now_);
      if (opened) streams_.push_back(*opened);
      return;
    }
    case 1:
      if (random_.chance(90)) return read(id);
      return session_.reset_stream(id, Errc::StreamCancelled, "", now_);
    case 2:
      if (random_.chance(90)) return write(id);
      return session_.reset_stream_after_delivery(id, Errc::StreamCancelled, "", now_);
    case 3:
      if (random_.chance(30)) session_.finish_stream(id, now_);
      return;
    case 4:
    case 5:
      return read(id);
    default:
      return write(id);
  }
}

void HostileWorld::read(StreamId id) {
  ByteSpan spans[4];
  const std::size_t count = session_.readable(id, spans);
  std::uint64_t n = 0;
  for (std::size_t i = 0; i < count; ++i) n += spans[i].size();
  if (n > 0) session_.consume(id, random_.between(1, n), now_);
  if (session_.at_end(id)) session_.handle_fin_delivered(id, now_);
}

void HostileWorld::write(StreamId id) {
  MutableByteSpan spans[4];
  const std::size_t count = session_.prepare_read(id, spans);
  if (count == 0) return;
  std::uint64_t room = 0;
  for (std::size_t i = 0; i < count; ++i) room += spans[i].size();
  session_.commit_read(id, random_.below(room + 1), now_);
}

void HostileWorld::change_lanes() {
  if (!lanes_.empty() && random_.chance(50)) {
    const LaneId lane = *some_lane();
    if (random_.chance(30)) return session_.retire_lane(lane);
    session_.handle_lane_lost(lane, now_);
    std::erase(lanes_, lane);
    return peer_.forget_lane(lane);
  }
  std::uint32_t epoch = epoch_;
  if (random_.chance(20)) epoch += random_.chance(70) ? 1 : ~0U;
  const LaneId lane{random_.chance(95) ? next_lane_++ : 1};
  const ByteCount replay{random_.chance(20) ? random_.below(1 << 16) : random_.below(1ULL << 40)};
  const auto attached = session_.attach_lane(lane, epoch, replay, now_);
  expect(attached || attached.error().code() == Errc::EpochInvalid,
         "only its epoch or number refuses a lane");
  take_events();
  if (!attached) return;
  epoch_ = epoch;
  lanes_.push_back(lane);
  peer_.note_lane(lane);
}

void HostileWorld::pass_time() {
  now_ += random_.span(random_.chance(90) ? Duration{50ms} : Duration{3s});
  if (random_.chance(80)) {
    for (const LaneId lane : lanes_) session_.handle_lane_alive(lane, now_);
  }
  session_.handle_timeout(now_);
}

void HostileWorld::take_events() {
  while (const auto event = session_.poll_session_event()) {
    if (event->kind == SessionEvent::Kind::Ended) {
      expect(!ended_with_, "a session ends once");
      ended_with_ = event->reason;
      end_text_ = std::string{errc_name(event->reason)} + ", " + event->text;
    }
    if (event->kind == SessionEvent::Kind::LaneClosed) session_.handle_lane_lost(event->lane, now_);
    const bool gone =
        event->kind == SessionEvent::Kind::LaneClosed || event->kind == SessionEvent::Kind::LaneDead;
    if (!gone) continue;
    std::erase(lanes_, event->lane);
    peer_.forget_lane(event->lane);
  }
  while (const auto event = session_.poll_stream_event()) {
    if (event->signal != kOffered) continue;
    streams_.push_back(event->stream);
    if (random_.chance(90)) {
      session_.accept_stream(event->stream, nullptr, now_);
    } else {
      session_.reset_stream(event->stream, Errc::TargetRefused, "refused", now_);
    }
  }
}

/// Lanes that do not take everything at once, so that frames wait.
void HostileWorld::listen() {
  for (const LaneId lane : lanes_) {
    const std::uint64_t most = random_.chance(80) ? 1'000'000 : random_.below(3);
    std::uint64_t heard = 0;
    while (heard < most) {
      const auto frame = session_.poll_transmit(lane, now_);
      if (!frame) break;
      peer_.hear(lane, frame->head, frame->payload);
      ++heard;
    }
    expect(heard < 100'000, "what is to be said comes to an end");
  }
  take_events();
}

void HostileWorld::check() const {
  const SessionStats stats = session_.stats();
  expect(session_.lane_count() == lanes_.size(), "the session has the lanes that are connected");
  expect(stats.memory_bytes <= stats.memory_ceiling, "a session keeps to its ceiling");
  expect(process_.used() == stats.memory_bytes, "the process knows what its session holds");
  const std::size_t slack = (stats.streams * 3 + lanes_.size() + 1) * kSlabSize;
  expect(slabs_.in_use_bytes() <= stats.memory_bytes + slack, "slabs in use are reserved, but for the slack");
  if (!session_.ended() || malice_ > 0) return;
  if (ended_with_ == Errc::TooManyGaps) return;
  throw Failure{"nothing but gaps ends the session of an honest peer: " + end_text_};
}

void HostileWorld::offend() {
  const LaneId lane = *some_lane();
  // The rest of a frame that was cut would swallow the offence.
  if (malice_ > 0) return;
  const auto [bytes, reason] = peer_.offend(lane);
  deliver(lane, bytes);
  take_events();
  if (!ended_with_) throw Failure{"a broken rule ends the session: " + std::string{errc_name(reason)}};
  if (*ended_with_ != reason) {
    throw Failure{"the session ended with " + end_text_ + " instead of " + std::string{errc_name(reason)}};
  }
}

void HostileWorld::check_ended() {
  take_events();
  if (ended_with_) {
    const auto number = static_cast<int>(*ended_with_);
    expect(number >= 1 && number < 64 && errc_name(*ended_with_) != "unknown_error",
           "a session ends with a number");
    expect(*ended_with_ != Errc::InternalError || was_told_end_, "what a peer says is no internal error");
  }
  for (const LaneId lane : lanes_) {
    std::optional<FrameType> last;
    while (const auto frame = session_.poll_transmit(lane, now_)) {
      peer_.hear(lane, frame->head, frame->payload);
      last = decode_header(frame->head.data())->type;
    }
    expect(was_told_end_ || last == FrameType::SessionEnd, "the last word of a session is SESSION_END");
    session_.handle_lane_lost(lane, now_);
  }
  expect(session_.stats().streams == 0, "no stream outlives its session");
  expect(process_.used() == 0 && slabs_.in_use() == 0, "an ended session gives everything back");
}

std::optional<LaneId> HostileWorld::some_lane() {
  if (lanes_.empty()) return std::nullopt;
  return lanes_[random_.below(lanes_.size())];
}

StreamId HostileWorld::some_stream() {
  return streams_.empty() ? StreamId{2} : streams_[random_.below(streams_.size())];
}

}  // namespace culvert::sim
