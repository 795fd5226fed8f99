// A stream in both directions whose every byte is known beforehand: chunks of one size, sent at set times,
// each with the instant it was due and a pattern that belongs to its seed, stream, direction and number. What
// is lost, repeated, moved or late shows at the other end. Both ends have to be on one machine: they compare
// CLOCK_MONOTONIC.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

#include "bench/sockets.hpp"

namespace culvert::bench {

/// First bytes of every stream; the sink sends back in the same measure.
struct Greeting {
  std::uint64_t seed = 0;
  std::uint32_t agent = 0;
  std::uint32_t stream = 0;
  std::uint32_t chunk_bytes = 0;  ///< At least 32, a multiple of 8.
  std::uint32_t tick_us = 0;      ///< Between two chunks of one direction.
};

enum class Side : std::uint8_t { Source, Sink };

/// How a stream ended, as this end knows.
enum class Ending : std::uint8_t { Open, InOrder, Reset, Early };

class VerifiedStream {
 public:
  /// `late_us`: an arrival later than this after it was due begins an episode, which is one line in `log`:
  /// agent, stream, side, due and arrival of its first chunk, arrival of its last, greatest delay;
  /// microseconds.
  VerifiedStream(UniqueFd fd, Greeting greeting, Side side, std::int64_t late_us, std::FILE* log);

  int fd() const { return fd_.value(); }
  Ending ending() const { return ending_; }
  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return received_; }
  std::uint64_t wrong_bytes() const { return wrong_bytes_; }
  /// Source, after an end in order: bytes that one end sent and the other did not get, both directions.
  std::uint64_t lost_bytes() const { return lost_bytes_; }

  /// Sends what is due and the socket takes.
  void send_due(std::int64_t now_us);
  /// Reads and checks all there is.
  void receive();
  /// The source sends no further chunk; the stream ends when the sink has told its counts.
  void finish();

 private:
  void fill(std::vector<std::byte>& chunk, Side from, std::uint64_t number, std::int64_t due_us) const;
  void check_chunk(std::int64_t now_us);
  void note_delay(std::int64_t due_us, std::int64_t now_us);
  void at_end_of_stream();
  void end(Ending ending);
  bool flush();

  UniqueFd fd_;
  Greeting greeting_;
  Side side_;
  std::int64_t late_us_;
  std::FILE* log_;
  Ending ending_ = Ending::Open;

  std::vector<std::byte> out_;
  std::size_t out_at_;  ///< Of `out_`, already sent; its size when nothing waits.
  std::int64_t next_due_us_ = 0;
  std::uint64_t chunks_out_ = 0;
  bool finishing_ = false;
  bool trailer_made_ = false;

  std::vector<std::byte> in_;
  std::vector<std::byte> expected_;
  std::size_t in_have_ = 0;
  std::uint64_t chunks_in_ = 0;

  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t wrong_bytes_ = 0;
  std::uint64_t lost_bytes_ = 0;
  bool trailer_seen_ = false;
  std::int64_t last_delay_us_ = 0;
};

std::int64_t monotonic_us();

}  // namespace culvert::bench
