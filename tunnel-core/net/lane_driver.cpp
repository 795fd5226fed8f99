#include "tunnel-core/net/lane_driver.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "tunnel-core/net/session_driver.hpp"
#include "tunnel-core/net/socket_options.hpp"

namespace culvert {
namespace {

constexpr std::size_t kReadAtOnce = 256 * 1024;
/// Of housekeep() without bulk: who sends some from time to time keeps what TCP has learnt.
constexpr int kTurnsOfBulk = 5;

}  // namespace

LaneDriver::LaneDriver(SessionDriver& driver, LaneId id, std::unique_ptr<TlsStream> stream, Carrier carrier)
    : driver_(&driver),
      id_(id),
      kind_(carrier),
      stream_(std::move(stream)),
      carrier_(LaneCarrier::create(carrier, driver.role())) {
  tune_lane_socket(stream_->socket().native_handle(), {});
  tune_for_answers(stream_->socket().native_handle());
}

void LaneDriver::start(std::string_view preface, ByteSpan leftover) {
  if (!preface.empty() && !stream_->engine().seal(as_bytes(preface))) return lost(stream_->last_error());
  while (!leftover.empty()) {
    const SlabRef slab = driver_->slabs().allocate();
    if (!slab) return lost({Errc::MemoryLimitReached, "no slab is left to read into"});
    const std::size_t n = std::min(leftover.size(), kSlabSize);
    std::memcpy(slab.data(), leftover.data(), n);
    const auto kept = carrier_->unwrap(stream_->engine(), {slab.data(), n});
    if (!kept) return lost(kept.error());
    if (*kept != 0) driver_->session().handle_bytes(id_, slab, {slab.data(), *kept}, driver_->now());
    leftover = leftover.subspan(n);
  }
  // Records that were read ahead make no socket readable: try before the first wait.
  read();
}

void LaneDriver::read() {
  const auto keep = shared_from_this();
  std::size_t total = 0;
  driver_->refresh_now();
  while (driver_ != nullptr) {
    if (total >= kReadAtOnce) {
      asio::post(stream_->get_executor(), [keep] {
        if (keep->driver_ != nullptr) keep->read();
      });
      break;
    }
    if (!slab_) slab_ = driver_->slabs().allocate();
    if (!slab_) return lost({Errc::MemoryLimitReached, "no slab is left to read into"});
    const ReadOutcome outcome = carrier_->read_some(stream_->engine(), {slab_.data(), kSlabSize});
    if (outcome.kind == ReadOutcome::Kind::Data) {
      total += outcome.n;
      driver_->session().handle_bytes(id_, slab_, {slab_.data(), outcome.n}, driver_->now());
      if (!slab_.unique()) slab_ = {};
      if (!stream_->engine().is_drained()) continue;
      slab_ = {};
      wait_readable();
      break;
    }
    if (outcome.kind == ReadOutcome::Kind::Closed && driver_->session().is_closed(id_)) break;
    if (outcome.kind == ReadOutcome::Kind::Closed)
      return lost({Errc::SessionClosed, "the peer closed the lane"});
    if (outcome.kind == ReadOutcome::Kind::Failed) {
      return lost(carrier_->broken() ? *carrier_->broken() : stream_->last_error());
    }
    slab_ = {};
    wait_readable();
    break;
  }
  if (driver_ == nullptr) return;
  if (const std::uint64_t seen = stream_->engine().bytes_received(); seen != seen_bytes_) {
    seen_bytes_ = seen;
    driver_->session().handle_lane_alive(id_, driver_->now());
  }
  driver_->flush();
}

void LaneDriver::wait_readable() {
  stream_->async_wait_readable([self = shared_from_this()](error_code error) {
    if (!error && self->driver_ != nullptr) self->read();
  });
}

void LaneDriver::wait_writable() {
  write_blocked_ = true;
  stream_->async_wait_writable([self = shared_from_this()](error_code error) {
    self->write_blocked_ = false;
    if (!error && self->driver_ != nullptr) self->driver_->flush();
  });
}

LaneDriver::Transmitted LaneDriver::transmit() {
  if (driver_ == nullptr || write_blocked_) return Transmitted::Blocked;
  TlsEngine& engine = stream_->engine();
  const bool more = seal_frames();
  if (driver_ == nullptr) return Transmitted::Blocked;
  if (engine.unsent() == 0) return Transmitted::Idle;
  follow(driver_->session().budget(id_));
  switch (engine.flush()) {
    case FlushOutcome::Done:
      return more ? Transmitted::More : Transmitted::Idle;
    case FlushOutcome::WouldBlock:
      wait_writable();
      return Transmitted::Blocked;
    case FlushOutcome::Failed:
      break;
  }
  // What the peer said last, such as why it closed, is still to be read: read() then finds the end.
  if (stream_->engine().wants_read_now()) return Transmitted::Blocked;
  lost(stream_->last_error());
  return Transmitted::Blocked;
}

/// True when the budget was used up before the frames were.
bool LaneDriver::seal_frames() {
  TlsEngine& engine = stream_->engine();
  const std::size_t budget = driver_->session().budget(id_).sealed;
  while (engine.unsent() + carrier_->packed() < budget) {
    const auto frame = driver_->session().poll_transmit(id_, driver_->now());
    if (!frame) {
      if (const auto sealed = carrier_->finish(engine); !sealed) lost(sealed.error());
      return false;
    }
    if (const auto taken = carrier_->put(engine, *frame); !taken) {
      lost(taken.error());
      return false;
    }
  }
  if (const auto sealed = carrier_->finish(engine); !sealed) lost(sealed.error());
  return driver_ != nullptr;
}

void LaneDriver::follow(const LaneBudget& budget) {
  if (budget.in_kernel != lowat_) {
    lowat_ = budget.in_kernel;
    set_notsent_lowat(stream_->socket().native_handle(), lowat_);
  }
  if (!for_bulk_ && budget.bulk_sent != bulk_bytes_) {
    for_bulk_ = true;
    tune_for_bulk(stream_->socket().native_handle());
  }
}

void LaneDriver::lost(const Error& reason) {
  if (driver_ == nullptr) return;
  SessionDriver& driver = *driver_;
  const auto keep = shared_from_this();
  driver_ = nullptr;
  slab_ = {};
  end_connection();
  driver.lane_lost(id_, reason);
}

void LaneDriver::close() {
  if (driver_ == nullptr) return;
  driver_ = nullptr;
  slab_ = {};
  end_connection();
}

void LaneDriver::abort() {
  if (driver_ == nullptr) return;
  driver_ = nullptr;
  slab_ = {};
  stream_->abort();
}

void LaneDriver::end_connection() {
  carrier_->say_close(stream_->engine());
  stream_->close();
}

void LaneDriver::find_limit() {
  const auto before = std::exchange(facts_, turns_without_bulk_ == 0 ? line() : std::nullopt);
  limit_.reset();
  if (!before || !facts_) return;
  const Duration busy = facts_->busy - before->busy;
  const Duration held = facts_->held_by_buffers - before->held_by_buffers;
  limit_ = held > busy / 2 ? Limit::Buffers : Limit::Line;
}

void LaneDriver::housekeep() {
  if (driver_ == nullptr) return;
  const std::uint64_t bulk = driver_->session().budget(id_).bulk_sent;
  turns_without_bulk_ = bulk == bulk_bytes_ ? turns_without_bulk_ + 1 : 0;
  bulk_bytes_ = bulk;
  if (for_bulk_ && turns_without_bulk_ >= kTurnsOfBulk) {
    for_bulk_ = false;
    tune_for_answers(stream_->socket().native_handle());
  }
  find_limit();
  const std::uint64_t received = stream_->engine().bytes_received();
  if (received - idle_bytes_ < kReadAtOnce) stream_->engine().release_idle_memory();
  idle_bytes_ = received;
}

}  // namespace culvert
