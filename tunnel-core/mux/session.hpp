// The session: one end of the lasting relation between agent and gateway, as a machine without I/O or clock.
// Bytes and an instant go in (handle_*), bytes and events come out (poll_*). docs/protocol.md is the
// specification.
//
// Sources: session.cpp (streams, the caller's side), session_receive.cpp (frames in), session_transmit.cpp
// (frames out), session_lanes.cpp (lanes, redelivery, time, the end).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tunnel-core/mux/lane.hpp"
#include "tunnel-core/mux/limit.hpp"
#include "tunnel-core/mux/session_config.hpp"
#include "tunnel-core/mux/stream.hpp"

namespace culvert {

struct StreamEvent {
  StreamId stream;
  StreamSignal signal;
  void* owner;       ///< As given to open_stream() or accept_stream(); null with kOffered.
  Errc reason{};     ///< With kReset.
  std::string text;  ///< With kReset, for people; may be empty.
  OpenInfo info{};   ///< With kReset and kOpened.
};

/// Of the session itself.
struct SessionEvent {
  enum class Kind {
    LaneDead,      ///< Silent for 2.5 s, or replaced by a newer epoch: close its connection.
    LaneClosed,    ///< Given back in order: close its connection, then call handle_lane_lost().
    PeerDraining,  ///< The peer takes and opens no more streams.
    Ended,         ///< By the peer, a broken rule or a deadline. Streams got kReset before.
  };
  Kind kind;
  LaneId lane{};
  Errc reason{};
  std::string text;
};

/// A frame to seal. Views live until the next call of this session.
struct Transmit {
  ByteSpan head;     ///< The header, and with it everything, if `payload` is empty.
  ByteSpan payload;  ///< Follows the header in the frame; not in memory.
  std::size_t size() const { return head.size() + payload.size(); }
};

/// What a lane's socket has to know, in bytes.
struct LaneBudget {
  std::size_t sealed = 0;       ///< May wait sealed before the kernel has taken it.
  std::size_t in_kernel = 0;    ///< May be queued unsent by the kernel.
  std::uint64_t bulk_sent = 0;  ///< Frames of bulk so far.
};

struct LaneStats {
  LaneId id;
  Duration round_trip;
  Duration silent;  ///< Since the last received byte.
  bool suspected;   ///< Receipts are overdue.
  bool retiring;    ///< Being given back.
  std::uint64_t sent_bytes;
  std::uint64_t received_bytes;
};

struct StreamStats {
  StreamId id;
  std::string target;
  std::string source;
  Instant opened_at;
  bool opening;  ///< The peer has not answered yet.
  std::uint64_t sent_bytes;
  std::uint64_t received_bytes;  ///< Accepted by the local socket.
  std::uint64_t backlog_bytes;   ///< Read from the local socket, not yet accepted by the peer.
};

struct SessionStats {
  std::size_t streams = 0;
  std::uint64_t opened_total = 0;
  std::uint64_t reset_total = 0;
  std::uint64_t late_frames = 0;  ///< For finished streams; harmless.
  std::uint64_t backlog_bytes = 0;
  std::uint64_t memory_bytes = 0;  ///< Reserved.
  std::uint64_t memory_ceiling = 0;
};

/// What the number of lanes is judged by.
struct LineLoad {
  std::uint64_t moved_bytes = 0;  ///< Received, and sent and receipted, over all lanes there ever were.
  bool data_waits = false;        ///< Some stream has data that no lane has taken.
  Duration round_trip{};          ///< The line's: the shortest lane's, without queues of this end.
  std::size_t lanes = 0;          ///< That are not being given back.
  bool queue_stands = false;      ///< On every lane that bulk may use: the line is full.
  bool answers_awaited = false;   ///< Some stream beside bulk is taken to wait for answers.
};

class Session {
 public:
  /// @param slabs, process  outlive the session; `slabs` belongs to the session's thread.
  Session(const SessionConfig& config, SlabPool& slabs, ProcessMemory& process, Instant now);

  // ---- Streams: the side of the local socket --------------------------------------------------------------

  /// @error StreamLimitReached, MemoryLimitReached, Draining, StreamIdsExhausted, SessionClosed.
  Result<StreamId> open_stream(OpenInfo info, void* owner, Instant now);
  /// The ids for streams opened here are used up, or nearly and no stream would notice a new session.
  bool is_worn_out() const;
  /// Answers kOffered. Nothing happens when the stream has been reset meanwhile; its owner is told so.
  void accept_stream(StreamId id, void* owner, Instant now);
  /// Ends both directions at once. Nothing more is told to its owner.
  void reset_stream(StreamId id, Errc reason, std::string_view text, Instant now);
  /// The local socket was reset: bytes read before still go out, then RESET, after 2 s at the latest.
  void reset_stream_after_delivery(StreamId id, Errc reason, std::string_view text, Instant now);
  /// Null when the stream is gone.
  const OpenInfo* open_info(StreamId id) const;
  /// Nothing more comes but the event of its end.
  bool is_over(StreamId id) const;

  /// Where the next bytes of the local socket may go. 0 spans: wait for kWritable (backpressure).
  std::size_t prepare_read(StreamId id, std::span<MutableByteSpan> out);
  void commit_read(StreamId id, std::size_t n,
                   Instant now);                 ///< Must follow each prepare_read() that gave spans.
  void finish_stream(StreamId id, Instant now);  ///< The local socket reported its end.

  /// The next bytes for the local socket; 0 spans when there are none. Valid until consume() or
  /// handle_bytes().
  std::size_t readable(StreamId id, std::span<ByteSpan> out) const;
  void consume(StreamId id, std::size_t n, Instant now);  ///< The kernel took n bytes.
  /// Every byte and the FIN have been accepted: shut the socket down for writing, then call
  /// handle_fin_delivered().
  bool at_end(StreamId id) const;
  void handle_fin_delivered(StreamId id, Instant now);

  // ---- Lanes ----------------------------------------------------------------------------------------------

  /// A lane whose HELLO was authorised. A higher epoch discards all older lanes; they get LaneDead.
  /// @param peer_replay  from the peer's HELLO.
  /// @error EpochInvalid: lower epoch, or a lane number already used in it; SessionClosed.
  Result<void> attach_lane(LaneId lane, std::uint32_t epoch, ByteCount peer_replay, Instant now);
  /// Decrypted bytes, cut anywhere. Bytes of a lane that is gone are ignored.
  /// @param bytes  lie in `slab`, of this session's pool.
  void handle_bytes(LaneId lane, const SlabRef& slab, ByteSpan bytes, Instant now);
  /// Some byte of a record arrived: the lane lives.
  void handle_lane_alive(LaneId lane, Instant now);
  /// There are lanes, and none has answered two PINGs, although twice its round trip has passed: a new lane
  /// may well come sooner than a sign of life or death. Counted in PINGs, so that a process that stood still
  /// does not take its own absence for the line's.
  bool is_silent(Instant now) const;
  /// Some frame has waited for a receipt for a second and two round trips, and none came on any lane
  /// meanwhile: the way to the peer may be dead though its bytes come.
  bool is_unheard(Instant now) const;
  /// The connection is gone: what it had not receipted waits for other lanes.
  void handle_lane_lost(LaneId lane, Instant now);
  /// Gives a lane back: it takes no new frames, and is closed in order when all it carries is receipted.
  void retire_lane(LaneId lane);
  /// Both ends have said LANE_CLOSE; the event is on its way.
  bool is_closed(LaneId lane) const;
  /// What the reply that opened the session says; before that the configuration holds.
  void adopt(Duration resume_deadline, std::size_t streams);
  std::uint32_t epoch() const { return epoch_; }
  std::size_t lane_count() const { return lanes_.size(); }

  /// All lanes, those first that are expected to deliver a frame first: the order in which to serve them.
  /// Valid until the next call.
  std::span<const LaneId> lanes_by_delivery();
  /// The next frame for this lane, if there is one.
  std::optional<Transmit> poll_transmit(LaneId lane, Instant now);
  LaneBudget budget(LaneId lane) const;

  // ---- Time, events, end ----------------------------------------------------------------------------------

  Instant poll_timeout() const;  ///< When handle_timeout() wants to be called.
  void handle_timeout(Instant now);
  std::optional<StreamEvent> poll_stream_event();
  bool has_events() const { return !event_list_.empty() || !session_events_.empty(); }
  std::optional<SessionEvent> poll_session_event();

  /// Opens and takes no more streams. Streams that still run after `timeout` are the caller's to reset, by
  /// end().
  void drain(Duration timeout, Instant now);
  bool draining() const { return draining_ || peer_draining_; }
  bool peer_draining() const { return peer_draining_; }
  /// What waits for something else to go out is due now: before end(), that the peer hears of it at all.
  void release_held();
  /// Resets every stream and tells the peer on all lanes. No frame comes out of it afterwards but
  /// SESSION_END.
  void end(Errc reason, std::string_view text, Instant now);
  bool ended() const { return ended_; }

  SessionStats stats() const;
  LineLoad line_load() const;
  Limit limit() const;
  std::vector<LaneStats> lane_stats(Instant now) const;
  std::vector<StreamStats> stream_stats(std::size_t most) const;

 private:
  /// Streams that are over but not settled (their RESET or last ACK is not receipted) may be this many beside
  /// the open ones.
  static constexpr std::size_t kUnsettledStreams = 65536;
  using DataList = IntrusiveList<Stream, &Stream::data_hook>;
  using StreamMap = std::unordered_map<std::uint32_t, std::unique_ptr<Stream>>;

  // session.cpp
  Stream* find(StreamId id) const;
  Result<Stream*> add_stream(StreamId id, OpenInfo info, StreamPhase phase, Instant now);
  void signal(Stream& stream, StreamSignal signal);
  void signal_room(Stream& stream);
  void make_due(Stream& stream, std::uint8_t flags);
  void hold(Stream& stream, std::uint8_t flags, Instant now);
  void activate(Stream& stream);
  void request_ack(Stream& stream, Instant now);
  void disown(Stream& stream);
  void start_reset(Stream& stream, Errc reason, std::string_view text);
  void release_halves(Stream& stream);
  void note_active(Stream& stream, Instant now);
  void maybe_finish(Stream& stream);
  void maybe_forget(Stream& stream);
  void became_open(Stream& stream, Instant now);

  // session_receive.cpp
  Result<void> handle_frame(Lane& lane, const Frame& frame, const SlabRef& slab, Instant now);
  Result<void> handle_state_frame(const Frame& frame, const SlabRef& slab, Instant now);
  Result<void> handle_open(const Frame& frame, Instant now);
  Result<void> handle_data(Stream& stream, const Frame& frame, const SlabRef& slab, Instant now);
  Result<void> handle_ack(Stream& stream, const Frame& frame, Instant now);
  void handle_reset(Stream& stream, Errc reason, std::string_view text);
  void handle_settled(const FrameHeader& header);
  void handle_peer_end(Errc reason, std::string_view text);
  bool was_opened(StreamId id) const;
  Result<void> note_peer_id(StreamId id);

  // session_transmit.cpp
  std::optional<Transmit> transmit_lane_frame(Lane& lane, Instant now);
  std::optional<Transmit> transmit_control(Lane& lane, Instant now);
  std::optional<Transmit> transmit_stream_control(Lane& lane, Stream& stream, Instant now);
  std::optional<Transmit> transmit_data(Lane& lane, Instant now);
  Transmit encode(Lane& lane, const FrameHeader& header, ByteSpan payload, Instant now);
  bool may_use(const Stream& stream, const Lane& lane) const;
  bool may_send_data(const Stream& stream, const Lane& lane) const;
  bool may_carry(const Lane& lane) const;
  bool should_wait_for_better(const Stream& stream, const Lane& lane, bool is_bulk) const;
  bool is_bound_to(const Stream& stream, const Lane& lane) const;
  Stream* first_usable(DataList& list, const Lane& lane, bool only_bound);
  bool answers_awaited(Instant now) const { return now < awaited_until_; }
  const Lane* lane_for_answers(Instant now) const;
  void note_answer(const Stream& stream, bool bulk_waits, Instant now);

  // session_lanes.cpp
  Lane* find_lane(LaneId id) const;
  void lose_lane(LaneId id);
  void suspect(Lane& lane);
  std::optional<Instant> redelivery_deadline(const Lane& lane) const;
  bool some_lane_is_well_beside(const Lane& lane) const;
  void note_closed(const Lane& lane);
  void redeliver(const FrameHeader& header);
  void finish_ending(Errc reason, std::string_view text);
  void check_lanes(Instant now);
  void give_back_idle(Instant now);
  void wake_starved();
  Duration round_trip() const;
  Duration least_round_trip() const;

  SessionConfig config_;
  SlabPool& slabs_;
  SessionMemory memory_;
  CreditPool credit_;

  // Declared before streams_: hooks of streams that die with the session must find their lists alive.
  IntrusiveList<Stream, &Stream::control_hook> control_list_;
  DataList sparse_list_;  ///< Has just become busy: one quantum before the others.
  DataList bulk_list_;
  IntrusiveList<Stream, &Stream::event_hook> event_list_;
  IntrusiveList<Stream, &Stream::ack_hook> ack_list_;
  IntrusiveList<Stream, &Stream::opening_hook> opening_list_;
  IntrusiveList<Stream, &Stream::active_hook> active_list_;
  IntrusiveList<Stream, &Stream::resetting_hook> resetting_list_;
  IntrusiveList<Stream, &Stream::starved_hook> starved_list_;
  StreamMap streams_;
  std::vector<StreamId> held_;  ///< Have `due` flags and are not in control_list_; others may be among them.

  std::uint32_t next_own_id_;
  std::uint32_t next_peer_id_;                ///< Behind the highest id the peer has opened.
  std::set<std::uint32_t> missing_peer_ids_;  ///< Below it, but not seen yet: their OPEN was overtaken.

  std::map<LaneId, std::unique_ptr<Lane>> lanes_;
  std::vector<std::pair<Duration, LaneId>> lane_times_;  ///< Kept for lanes_by_delivery(), as lane_order_ is.
  std::vector<LaneId> lane_order_;
  std::set<LaneId> used_lanes_;  ///< In this epoch, the latest kLanesRemembered numbers.
  std::uint32_t epoch_ = 0;
  Instant laneless_since_;
  bool had_lane_ = false;

  std::vector<SessionEvent> session_events_;
  std::byte scratch_[kFrameHeaderSize + kMaxOpenSize];
  bool draining_ = false;
  bool drain_due_ = false;
  std::uint64_t drain_ms_ = 0;
  bool peer_draining_ = false;
  bool ended_ = false;
  Errc end_reason_{};
  std::string end_text_;
  Instant next_idle_check_{};
  Instant next_starved_check_{};  ///< While starved_list_ is not empty.
  Instant awaited_until_{};       ///< Until then some stream beside bulk is taken to wait for answers.
  StreamId bulk_from_peer_{};     ///< The latest stream that brought a large piece, and when.
  Instant bulk_received_at_{};
  Instant latest_;  ///< The instant of the latest call that brought one.
  std::uint64_t opened_total_ = 0;
  std::uint64_t reset_total_ = 0;
  std::uint64_t late_frames_ = 0;
  std::uint64_t moved_by_gone_lanes_ = 0;
  std::size_t open_count_ = 0;  ///< Streams that are neither Resetting nor Ended.
};

}  // namespace culvert
