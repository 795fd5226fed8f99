// The I/O of one lane: records in to the session, frames of the session out as records. Of one thread.
//
//   read:   wait -> up to 256 KiB of records, each into a slab
//           -> Session::handle_bytes -> SessionDriver::flush
//
//   write:  Session::poll_transmit -> seal (by its carrier: full frames from their slab, small ones packed)
//           -> one send
#pragma once

#include <memory>
#include <string_view>

#include "tunnel-core/base/limits.hpp"
#include "tunnel-core/mux/session.hpp"
#include "tunnel-core/net/lane_carrier.hpp"
#include "tunnel-core/net/line_facts.hpp"
#include "tunnel-core/net/tls_stream.hpp"

namespace culvert {

class SessionDriver;

class LaneDriver : public std::enable_shared_from_this<LaneDriver> {
 public:
  LaneDriver(SessionDriver& driver, LaneId id, std::unique_ptr<TlsStream> stream, Carrier carrier);

  /// @param preface   sent before the first frame: the 101 of the gateway; may be empty.
  /// @param leftover  bytes that were read behind the HTTP head; may be empty.
  void start(std::string_view preface, ByteSpan leftover);
  LaneId id() const { return id_; }
  Carrier carrier() const { return kind_; }
  std::optional<LineFacts> line() const { return line_facts(stream_->socket().native_handle()); }

  /// What held its bulk back between the latest two housekeep(): Line or Buffers; nothing without bulk.
  std::optional<Limit> limit() const { return limit_; }

  enum class Transmitted { Idle, More, Blocked };
  /// Seals and sends what the session has for this lane, 256 KiB at most; `More` if it may have more.
  Transmitted transmit();
  /// close_notify as far as it goes, then closes. Nothing is told to the session.
  void close();
  /// Closes with a reset. Where nothing comes from the peer any more, a close would stay behind what TCP
  /// waits for, and a peer that still hears us would not learn of it.
  void abort();
  /// Every 2 s: what was only needed for what is over is given back, and limit() is judged anew.
  void housekeep();

 private:
  void read();
  void wait_readable();
  void wait_writable();
  bool seal_frames();
  void follow(const LaneBudget& budget);
  void find_limit();
  void end_connection();
  void lost(const Error& reason);

  SessionDriver* driver_;  ///< Null once closed.
  const LaneId id_;
  const Carrier kind_;
  std::unique_ptr<TlsStream> stream_;
  const std::unique_ptr<LaneCarrier> carrier_;
  SlabRef slab_;
  std::uint64_t seen_bytes_ = 0;
  std::uint64_t idle_bytes_ = 0;  ///< Received at the last housekeep().
  std::size_t lowat_ = 0;
  bool for_bulk_ = false;         ///< As the socket is tuned.
  std::uint64_t bulk_bytes_ = 0;  ///< Sent at the last housekeep().
  int turns_without_bulk_ = 0;
  std::optional<LineFacts> facts_;  ///< As of the last housekeep(), while there is bulk.
  std::optional<Limit> limit_;
  bool write_blocked_ = false;
};

}  // namespace culvert
