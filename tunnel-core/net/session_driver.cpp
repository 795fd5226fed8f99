#include "tunnel-core/net/session_driver.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "tunnel-core/net/socket_options.hpp"

namespace culvert {
namespace {

/// Events handled before lanes get their turn: each may read or write up to 256 KiB.
constexpr int kEventsAtOnce = 64;

}  // namespace

SessionDriver::SessionDriver(DataThread& thread, ProcessMemory& process, const SessionConfig& config,
                             SessionObserver& observer)
    : thread_(thread),
      observer_(observer),
      role_(config.role),
      now_(thread.clock().now()),
      session_(config, thread.slabs(), process, now_),
      timer_(thread.io()),
      self_(std::make_shared<SessionDriver*>(this)) {
  thread_.add(*this);
  arm_timer();
}

SessionDriver::~SessionDriver() {
  *self_ = nullptr;
  close_everything();
  thread_.remove(*this);
}

void SessionDriver::close_everything() {
  for (auto& [id, relay] : relays_) relay->abort();
  for (auto& [id, lane] : lanes_) lane->close();
  relays_.clear();
  lanes_.clear();
}

Result<void> SessionDriver::add_lane(LaneId id, std::uint32_t epoch, ByteCount peer_replay,
                                     std::unique_ptr<TlsStream>& stream, std::string_view preface,
                                     ByteSpan leftover, Carrier carrier) {
  refresh_now();
  auto attached = session_.attach_lane(id, epoch, peer_replay, now_);
  if (!attached) return attached;
  deliver_session_events();  // Lanes of an older epoch leave before the new one can take their number.
  auto lane = std::make_shared<LaneDriver>(*this, id, std::move(stream), carrier);
  lanes_.emplace(id, lane);
  observer_.handle_lane_up(id);
  lane->start(preface, leftover);
  return {};
}

Result<StreamId> SessionDriver::open(asio::ip::tcp::socket socket, OpenInfo info,
                                     const StreamLimits* limits) {
  refresh_now();
  auto relay = std::make_shared<SocketRelay>(*this, std::move(socket), limits);
  auto id = session_.open_stream(std::move(info), relay.get(), now_);
  if (!id) {
    relay->abort();
    return id;
  }
  relays_.emplace(*id, relay);
  relay->start_reading(*id);
  schedule_flush();  // Many that are opened at once share records and system calls.
  return id;
}

void SessionDriver::accept(StreamId id, asio::ip::tcp::socket socket, const StreamLimits* limits) {
  refresh_now();
  tune_local_socket(socket.native_handle());
  auto relay = std::make_shared<SocketRelay>(*this, std::move(socket), limits);
  if (session_.open_info(id) == nullptr) return relay->abort();
  relays_.emplace(id, relay);
  session_.accept_stream(id, relay.get(), now_);
  relay->start_waiting(id);
  schedule_flush();
}

void SessionDriver::refuse(StreamId id, Errc reason, const std::string& text) {
  refresh_now();
  session_.reset_stream(id, reason, text, now_);
  schedule_flush();
}

void SessionDriver::drain(Duration timeout) {
  refresh_now();
  session_.release_held();
  session_.drain(timeout, now_);
  flush();
}

void SessionDriver::end(Errc reason, const std::string& text) {
  refresh_now();
  session_.release_held();
  transmit();
  session_.end(reason, text, now_);
  flush();
}

void SessionDriver::schedule_flush() {
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  asio::post(thread_.io(), [self = self_] {
    if (*self == nullptr) return;
    (*self)->flush_scheduled_ = false;
    (*self)->refresh_now();
    (*self)->flush();
  });
}

void SessionDriver::flush() {
  if (flushing_) return schedule_flush();  // An observer or relay called back: finish this round first.
  flushing_ = true;
  deliver_stream_events();
  deliver_session_events();
  transmit();
  flushing_ = false;
  arm_timer();
}

void SessionDriver::deliver_stream_events() {
  for (int i = 0; i < kEventsAtOnce; ++i) {
    auto event = session_.poll_stream_event();
    if (!event) return;
    const auto relay = static_cast<SocketRelay*>(event->owner);
    switch (event->signal) {
      case kOffered:
        if (const OpenInfo* const info = session_.open_info(event->stream)) {
          const OpenInfo copy = *info;
          observer_.handle_offered(event->stream, copy);
        }
        break;
      case kOpened:
        observer_.handle_opened(event->stream, event->info);
        break;
      case kReadable:
        relay->handle_readable();
        break;
      case kWritable:
        relay->handle_writable();
        break;
      case kFinished:
        relay->close();
        relay_ended(event->stream);
        break;
      case kReset:
        if (relay != nullptr) relay->abort();
        relay_ended(event->stream);
        observer_.handle_reset(event->stream, event->info, event->reason, event->text);
        break;
    }
  }
  schedule_flush();
}

void SessionDriver::deliver_session_events() {
  while (auto event = session_.poll_session_event()) {
    switch (event->kind) {
      case SessionEvent::Kind::LaneDead:
        if (!drop_lane(event->lane, event->reason == Errc::TimedOut)) break;
        observer_.handle_lane_down(event->lane, {event->reason, event->text}, lanes_.size());
        break;
      case SessionEvent::Kind::LaneClosed:
        if (!drop_lane(event->lane, false)) break;
        session_.handle_lane_lost(event->lane, now_);
        observer_.handle_lane_closed(event->lane, lanes_.size());
        break;
      case SessionEvent::Kind::PeerDraining:
        observer_.handle_peer_draining();
        break;
      case SessionEvent::Kind::Ended:
        observer_.handle_ended(event->reason, event->text);
        break;
    }
  }
}

/// False when the lane has been lost meanwhile.
bool SessionDriver::drop_lane(LaneId id, bool with_reset) {
  const auto at = lanes_.find(id);
  if (at == lanes_.end()) return false;
  if (with_reset) {
    at->second->abort();
  } else {
    at->second->close();
  }
  lanes_.erase(at);
  return true;
}

std::optional<Carrier> SessionDriver::carrier_of(LaneId id) const {
  const auto at = lanes_.find(id);
  return at == lanes_.end() ? std::nullopt : std::optional{at->second->carrier()};
}

void SessionDriver::retire_lane(LaneId id) {
  refresh_now();
  session_.retire_lane(id);
  flush();
}

void SessionDriver::transmit() {
  bool more = false;
  for (const LaneId id : session_.lanes_by_delivery()) {
    const auto at = lanes_.find(id);
    if (at == lanes_.end()) continue;  // Lost while another one was served.
    const auto lane = at->second;
    if (lane->transmit() == LaneDriver::Transmitted::More) more = true;
  }
  // Sending made room for reading: those events are for the next round, so that others come in between.
  if (more || session_.has_events()) schedule_flush();
}

void SessionDriver::lane_lost(LaneId id, const Error& reason) {
  if (lanes_.erase(id) == 0) return;
  session_.handle_lane_lost(id, now_);
  observer_.handle_lane_down(id, reason, lanes_.size());
  schedule_flush();
}

void SessionDriver::relay_ended(StreamId id) {
  relays_.erase(id);
}

void SessionDriver::arm_timer() {
  const Instant next = session_.poll_timeout();
  // A timer that fires too early costs less than moving it with every frame.
  if (next >= armed_) return;
  armed_ = next;
  timer_.expires_at(std::chrono::time_point_cast<asio::steady_timer::duration>(next));
  timer_.async_wait([self = self_](error_code error) {
    if (error || *self == nullptr) return;
    SessionDriver& driver = **self;
    driver.armed_ = Instant::max();
    driver.refresh_now();
    driver.session_.handle_timeout(driver.now_);
    driver.flush();
  });
}

std::optional<LineFacts> SessionDriver::line_of(LaneId id) const {
  const auto at = lanes_.find(id);
  return at == lanes_.end() ? std::nullopt : at->second->line();
}

/// On a near line the buffers hold more than the line does: who does not empty them there is slow.
Limit SessionDriver::limit() const {
  const Limit limit = session_.limit();
  if (limit != Limit::Line || session_.line_load().round_trip < kFarLine) return limit;
  const auto held_by = [this](Limit what) {
    return std::ranges::count_if(lanes_, [=](const auto& lane) { return lane.second->limit() == what; });
  };
  return held_by(Limit::Buffers) > held_by(Limit::Line) ? Limit::Buffers : limit;
}

void SessionDriver::housekeep() {
  for (auto& [id, lane] : lanes_) lane->housekeep();
}

}  // namespace culvert
