// One stream of a session: its two halves and what has to be told about it.
//
//   Opening ── OPENED ──> Open ── both FINs done ──> Ended          we opened it
//   Offered ── accept ──> Open                                      the peer opened it
//   any     ── reset  ──> Resetting ── receipt ──> (forgotten)      our RESET is on its way
//   any     ── RESET received ──> Ended ──> (forgotten)
#pragma once

#include <cstdint>
#include <string>

#include "tunnel-core/base/intrusive_list.hpp"
#include "tunnel-core/base/units.hpp"
#include "tunnel-core/mux/receive_half.hpp"
#include "tunnel-core/mux/send_half.hpp"
#include "tunnel-core/wire/open_info.hpp"

namespace culvert {

enum class StreamPhase : std::uint8_t {
  Opening,    ///< Our OPEN has no answer yet; at most the minimum is sent.
  Offered,    ///< The peer's OPEN waits for accept_stream() or reset_stream().
  Open,       ///< Both directions run, until each has had its FIN.
  Resetting,  ///< Our RESET is not receipted yet. Memory is given back already.
  Ended,  ///< Nothing more will come; forgotten when the owner has been told and our last ACK is receipted.
};

/// Frames that a stream has to send, one flag each: the latest state wins.
enum StreamDue : std::uint8_t { kOpenDue = 1, kOpenedDue = 2, kResetDue = 4, kAckDue = 8, kReturnDue = 16 };

/// What the owner has to be told, one flag each.
enum StreamSignal : std::uint8_t {
  kOffered = 1,    ///< The peer opened a stream: accept or reset it.
  kOpened = 2,     ///< The peer accepted ours.
  kReadable = 4,   ///< There are bytes, or the end, for the local socket.
  kWritable = 8,   ///< There may be credit for reading the local socket again.
  kReset = 16,     ///< Ended by RESET, time-out or the end of the session: close the socket with a TCP RST.
  kFinished = 32,  ///< Both directions ended in order: close the socket.
};

struct Stream {
  Stream(StreamId stream_id, OpenInfo open_info, StreamPhase first_phase, SlabPool& slabs, CreditPool& credit)
      : id(stream_id),
        phase(first_phase),
        info(std::move(open_info)),
        send(slabs, credit.memory),
        receive(slabs, credit) {}

  const StreamId id;
  StreamPhase phase;
  std::uint8_t due = 0;        ///< StreamDue flags.
  std::uint8_t signals = 0;    ///< StreamSignal flags not yet polled.
  bool open_settled = false;   ///< OPEN is receipted or answered: frames may take any lane.
  bool asked_to_read = false;  ///< The owner was refused room to read; it is told when there is some.
  bool ack_fin_receipted = false;
  bool told_end = false;             ///< The owner knows of the end, or caused it: no more events.
  bool reset_when_accepted = false;  ///< The local socket was reset: RESET follows the bytes already read.
  LaneId pinned{};                   ///< The lane that carried OPEN, until open_settled; 0 none.
  LaneId packed_lane{};              ///< The lane that carried the latest small payload; 0 none.
  Errc reset_reason = Errc::StreamCancelled;
  std::string reset_text;
  void* owner = nullptr;  ///< The caller's; handed back with every event.
  OpenInfo info;
  Instant deadline{};  ///< Of the delayed ACK, in ack_list.
  Instant opened_at{};
  Instant open_deadline{};
  Instant reset_deadline{};
  Instant last_active{};
  std::int64_t deficit = 0;  ///< Deficit round robin, bytes.
  SendHalf send;
  ReceiveHalf receive;
  ListHook control_hook;    ///< Has `due` flags.
  ListHook data_hook;       ///< Has data to send.
  ListHook event_hook;      ///< Has `signals`.
  ListHook ack_hook;        ///< Waits for its delayed ACK.
  ListHook opening_hook;    ///< Waits for the peer's answer, by deadline.
  ListHook active_hook;     ///< Holds credit or storage to be given back when idle.
  ListHook resetting_hook;  ///< reset_when_accepted, by deadline.
  ListHook starved_hook;    ///< Was refused memory while no ACK is to come that would free some.
};

/// What a Stream costs by itself, charged to its session until it is forgotten: the object, its texts and its
/// place in the table.
constexpr std::uint64_t kStreamObject = 1024;
static_assert(sizeof(Stream) + 128 <= kStreamObject);

}  // namespace culvert
