#include "tests/sim/world/application.hpp"

#include <algorithm>

#include "tests/sim/world/failure.hpp"

namespace culvert::sim {
namespace {

std::byte byte_at(StreamId stream, std::size_t sender, std::uint64_t offset) {
  const std::uint64_t key = (std::uint64_t{stream.value} * 2 + sender) << 40;
  return static_cast<std::byte>(((key + offset + 1) * 0x9e3779b97f4a7c15) >> 56);
}

}  // namespace

Habits Habits::random(Random& random, std::uint64_t most_bytes) {
  Habits habits;
  habits.to_write = random.chance(15) ? 0 : random.spread(most_bytes);
  habits.write_burst = std::max(random.spread(300'000), habits.to_write / 400 + 1);
  habits.read_burst = std::max(random.spread(300'000), most_bytes / 400 + 1);
  if (random.chance(50))
    habits.write_pause = random.span(random.chance(10) ? Duration{1500ms} : Duration{20ms});
  if (random.chance(40))
    habits.read_pause = random.span(random.chance(10) ? Duration{500ms} : Duration{20ms});
  if (random.chance(5)) {  // A talker: thousands of small frames, which must not become as many gaps.
    habits.to_write = random.between(20, 3000);
    habits.write_burst = random.between(1, 3);
    habits.write_pause = random.span(random.chance(50) ? Duration{3ms} : Duration{300us});
  }
  if (random.chance(15)) habits.ending = random.chance(50) ? Ending::Reset : Ending::ResetAfterDelivery;
  if (random.chance(50)) habits.decide = random.span(100ms);
  habits.refuse = random.chance(4);
  return habits;
}

void Application::handle_event(Session& session, const StreamEvent& event) {
  expect(!over_, "nothing is told of a stream after its end");
  switch (event.signal) {
    case kOffered:
      throw Failure{"a stream is offered once"};
    case kOpened:
      return expect(record_.accepted, "no stream opens that the other end has not accepted");
    case kReadable:
      may_read_ = true;
      return;
    case kWritable:
      may_write_ = true;
      return;
    case kReset:
      over_ = true;
      if (!record_.may_be_reset) {
        throw Failure{"reset for no reason: " + std::string{errc_name(event.reason)} + " " + event.text};
      }
      expect(session.readable(id_, std::span<ByteSpan>{}) == 0, "nothing is readable after a reset");
      return;
    case kFinished:
      over_ = true;
      expect(wrote_all_ && fin_delivered_, "a finished stream has delivered both ends");
      return;
  }
}

bool Application::act(Session& session, WireTap& tap, Random& random, Instant now) {
  if (over_) return false;
  if (!accepted_) return act_on_offer(session, now);
  bool acted = act_on_read(session, tap, random, now);
  if (!over_) acted = act_on_write(session, random, now) || acted;
  return acted;
}

bool Application::act_on_offer(Session& session, Instant now) {
  if (now < decide_at_) return false;
  if (habits_.refuse) {
    record_.may_be_reset = over_ = true;
    session.reset_stream(id_, Errc::TargetRefused, "refused", now);
    return true;
  }
  accepted_ = record_.accepted = true;
  session.accept_stream(id_, this, now);
  return true;
}

bool Application::act_on_write(Session& session, Random& random, Instant now) {
  if (wrote_all_ || now < write_at_) return false;
  std::uint64_t& written = record_.written[side_];
  if (written == habits_.to_write) {
    end_writing(session, now);
    return true;
  }
  if (!may_write_) return false;
  MutableByteSpan spans[17];
  const std::size_t offered = session.prepare_read(id_, {spans, habits_.steady ? 1 : random.between(1, 17)});
  if (offered == 0) {
    may_write_ = false;
    return true;
  }
  const std::uint64_t burst = habits_.steady ? habits_.write_burst : random.between(1, habits_.write_burst);
  std::uint64_t left = std::min(habits_.to_write - written, burst);
  std::size_t n = 0;
  for (std::size_t i = 0; i < offered && left > 0; ++i) {
    for (std::byte& b : spans[i].first(std::min<std::uint64_t>(left, spans[i].size()))) {
      b = byte_at(id_, side_, written++);
      ++n;
      --left;
    }
  }
  session.commit_read(id_, n, now);
  write_at_ = now + random.span(habits_.write_pause);
  return true;
}

void Application::end_writing(Session& session, Instant now) {
  wrote_all_ = true;
  switch (habits_.ending) {
    case Ending::Finish:
      record_.finished[side_] = true;
      return session.finish_stream(id_, now);
    case Ending::Reset:
      record_.may_be_reset = over_ = true;
      return session.reset_stream(id_, Errc::StreamCancelled, "", now);
    case Ending::ResetAfterDelivery:
      record_.may_be_reset = over_ = true;
      return session.reset_stream_after_delivery(id_, Errc::StreamCancelled, "", now);
  }
}

bool Application::act_on_read(Session& session, WireTap& tap, Random& random, Instant now) {
  if (!may_read_ || now < read_at_) return false;
  ByteSpan spans[9];
  const std::size_t count = session.readable(id_, {spans, habits_.steady ? 9 : random.between(1, 9)});
  const std::size_t sender = 1 - side_;
  std::uint64_t left = habits_.steady ? habits_.read_burst : random.between(1, habits_.read_burst);
  std::size_t n = 0;
  for (std::size_t i = 0; i < count; ++i) {
    for (const std::byte b : spans[i].first(std::min<std::uint64_t>(left, spans[i].size()))) {
      expect(b == byte_at(id_, sender, read_++), "every byte arrives once, in order");
      ++n;
      --left;
    }
  }
  expect(read_ <= record_.written[sender], "no byte arrives that was not sent");
  if (n > 0) {
    expect(record_.accepted, "no byte passes before the stream is accepted");
    tap.flow(id_, sender).consumed = read_;
    session.consume(id_, n, now);
  }
  if (session.at_end(id_)) {
    expect(record_.finished[sender] && read_ == record_.written[sender],
           "no incomplete stream ends in order");
    fin_delivered_ = true;
    session.handle_fin_delivered(id_, now);
  }
  if (count == 0) may_read_ = false;
  read_at_ = now + random.span(habits_.read_pause);
  return true;
}

Instant Application::next_act() const {
  if (over_) return Instant::max();
  if (!accepted_) return decide_at_;
  Instant next = Instant::max();
  if (may_read_) next = std::min(next, read_at_);
  if (!wrote_all_ && (may_write_ || record_.written[side_] == habits_.to_write))
    next = std::min(next, write_at_);
  return next;
}

}  // namespace culvert::sim
