// How large the window of a stream becomes by itself, with no setting changed: virtual time, and lines that
// are a formula. The source and the sink are fast, unless the test says otherwise.
#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>

#include "tests/unit/mux/raw_peer.hpp"
#include "tunnel-core/wire/frame.hpp"

namespace culvert {
namespace {

constexpr StreamId kStream{2};
/// What a stream may have at once, as soon as it is open.
constexpr std::uint64_t kFirstWindow = 256 * 1024;
/// A window that is half used up within two round trips doubles; so does one that is so within 10 ms.
constexpr Duration kLeastRoundTrip = 5ms;

struct Line {
  Duration round_trip;
  BitRate rate;

  std::uint64_t bytes_in(Duration time) const {
    return static_cast<std::uint64_t>(std::chrono::duration<double>(time).count() *
                                      static_cast<double>(rate.value) / 8);
  }
  Duration time_of(std::uint64_t bytes) const {
    const std::chrono::duration<double> time{8.0 * static_cast<double>(bytes) /
                                             static_cast<double>(rate.value)};
    return std::chrono::duration_cast<Duration>(time);
  }
  /// The bandwidth-delay product.
  std::uint64_t product() const { return bytes_in(round_trip); }
};

/// A source that always has more, at the far end. Its frames leave at the line's rate and arrive half a round
/// trip later; what the session says takes as long and waits for nothing.
class FarSource {
 public:
  /// @param sink  what the local socket takes; 0: everything at once.
  explicit FarSource(const Line& line, BitRate sink = {})
      : line_(line),
        sink_{{}, sink},
        payload_(std::clamp<std::uint64_t>(line.bytes_in(10ms), 1024, kMaxPayload)) {
    peer_.attach();
    peer_.accept(kStream.value);
    collect();
  }

  void run(Duration time) {
    const Instant end = peer_.now + time;
    while (peer_.now < end) {
      const Instant next = std::min(end, next_event());
      peer_.pass(next - peer_.now);
      hear_answers();
      send();
      arrive();
      collect();
    }
  }

  std::uint64_t received() const { return received_; }
  /// What the session last allowed beyond what its socket has taken.
  std::uint64_t window() const { return window_; }

 private:
  struct Answer {
    Instant arrives;
    std::uint64_t number;   ///< State frames of the session up to this one.
    std::uint64_t granted;  ///< 0: no ACK.
  };

  Instant next_event() const {
    Instant next = peer_.session.poll_timeout();
    if (!answers_.empty()) next = std::min(next, answers_.front().arrives);
    if (!receipts_.empty()) next = std::min(next, receipts_.front().arrives);
    if (!data_.empty()) next = std::min(next, data_.front().first);
    if (sent_ < granted_) next = std::min(next, free_at_);
    if (sink_.rate.value > 0) next = std::min(next, peer_.now + 10ms);
    return std::max(next, peer_.now);
  }

  /// The far end has heard of more credit; that it did is known here half a round trip later.
  void hear_answers() {
    while (!answers_.empty() && answers_.front().arrives <= peer_.now) {
      Answer answer = answers_.front();
      answers_.pop_front();
      granted_ = std::max(granted_, answer.granted);
      answer.arrives += line_.round_trip / 2;
      receipts_.push_back(answer);
    }
    for (; !receipts_.empty() && receipts_.front().arrives <= peer_.now; receipts_.pop_front()) {
      peer_.send_receipt(receipts_.front().number);
    }
  }

  void send() {
    while (sent_ < granted_ && free_at_ <= peer_.now) {
      const std::uint64_t n = std::min(payload_, granted_ - sent_);
      free_at_ = std::max(free_at_, peer_.now) + line_.time_of(n + kFrameHeaderSize);
      data_.emplace_back(free_at_ + line_.round_trip / 2, n);
      sent_ += n;
    }
  }

  void arrive() {
    for (; !data_.empty() && data_.front().first <= peer_.now; data_.pop_front()) {
      peer_.send_data(kStream.value, received_, data_.front().second);
      received_ += data_.front().second;
      if (sink_.rate.value == 0) peer_.read(kStream);
    }
    if (sink_.rate.value == 0) return;
    taken_ += peer_.read(kStream, sink_.bytes_in(peer_.now - began_) - taken_);
  }

  void collect() {
    for (const SentFrame& frame : peer_.take()) {
      if (!is_state_frame(frame.header.type)) continue;
      const bool is_ack = frame.header.type == FrameType::Ack;
      const std::uint64_t granted = is_ack ? decode_granted(frame.payload) : 0;
      if (is_ack) window_ = granted - frame.header.offset;
      answers_.push_back({peer_.now + line_.round_trip / 2, ++answered_, granted});
    }
  }

  const Line line_;
  const Line sink_;
  const std::uint64_t payload_;
  RawPeer peer_{{.role = Role::Gateway}};
  const Instant began_ = peer_.now;
  Instant free_at_ = peer_.now;
  std::deque<std::pair<Instant, std::uint64_t>> data_;  ///< On their way here.
  std::deque<Answer> answers_;                          ///< On their way there.
  std::deque<Answer> receipts_;                         ///< On their way back.
  std::uint64_t granted_ = kMinimumWindow;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t window_ = 0;
};

/// One round trip until the first bytes come, one for each doubling, and one because they are spread over it
/// the more the window fills the line.
int round_trips_to_grow(const Line& line) {
  int round_trips = 2;
  for (std::uint64_t window = kFirstWindow; window < line.product(); window *= 2) ++round_trips;
  return round_trips;
}

/// Twice the product of the fastest is three quarters of the 64 MiB that a session may have.
constexpr Line kLines[] = {
    {1ms, BitRate{1'000'000}},   {1ms, BitRate{100'000'000}},  {1ms, BitRate{2'000'000'000}},
    {80ms, BitRate{1'000'000}},  {80ms, BitRate{100'000'000}}, {80ms, BitRate{2'000'000'000}},
    {600ms, BitRate{1'000'000}}, {600ms, BitRate{30'000'000}}, {600ms, BitRate{320'000'000}},
};

std::string name_of(const Line& line) {
  return std::to_string(line.round_trip / 1ms) + " ms, " + std::to_string(line.rate.value / 1'000'000) +
         " Mbit/s";
}

}  // namespace

TEST_CASE("Window: doubles with each round trip until it holds what the line holds", "[mux][window]") {
  for (const Line& line : kLines) {
    INFO(name_of(line));
    FarSource source{line};
    source.run(round_trips_to_grow(line) * line.round_trip + kAckDelay);
    CHECK(source.window() >= line.product());
    CHECK(round_trips_to_grow(line) <= 9);
  }
}

TEST_CASE("Window: after 10 round trips and 100 ms a stream has nine tenths of the line's rate",
          "[mux][window]") {
  for (const Line& line : kLines) {
    INFO(name_of(line));
    FarSource source{line};
    source.run(10 * line.round_trip + 100ms);
    const std::uint64_t before = source.received();
    const Duration measured = std::max<Duration>(line.round_trip, 200ms);
    source.run(measured);
    CHECK(10 * (source.received() - before) >= 9 * line.bytes_in(measured));
  }
}

TEST_CASE("Window: never holds more than eight times what the line holds, or 5 ms of its rate",
          "[mux][window]") {
  for (const Line& line : kLines) {
    INFO(name_of(line));
    FarSource source{line};
    source.run(20 * line.round_trip + 200ms);
    const std::uint64_t most = 8 * line.bytes_in(std::max(line.round_trip, kLeastRoundTrip));
    CHECK(source.window() <= std::max(most, kFirstWindow));
  }
}

TEST_CASE("Window: a socket that takes little earns no larger one, however fast the line is",
          "[mux][window]") {
  FarSource source{{80ms, BitRate{1'000'000'000}}, BitRate{4'000'000}};
  source.run(10s);
  CHECK(source.window() <= kFirstWindow);
  CHECK(source.received() <= 5'000'000 + kFirstWindow);
  CHECK(source.received() >= 5'000'000);
}

}  // namespace culvert
