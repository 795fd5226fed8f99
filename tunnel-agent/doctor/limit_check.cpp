// What a busy session waits for, from what its agent says of it twice and more: the same in most looks, with
// bytes waiting.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "tunnel-agent/doctor/agent_check.hpp"

namespace culvert {

using nlohmann::json;

namespace {

constexpr double kMost = 0.6;        ///< Of the looks.
constexpr double kBusyThread = 0.9;  ///< Running, or waiting for a processor.
constexpr double kLossy = 0.005;     ///< Of segments sent again; CUBIC gives up long before 1 %.
constexpr std::uint64_t kLeastSegments = 200;
constexpr double kQueued = 1.25;  ///< Longest round trip of the looks, over the shortest of late.
constexpr double kQueuedMs = 2;   ///< … and longer by at least this.
constexpr std::size_t kParts = 4;
constexpr double kSteady = 0.1;      ///< How far the rates of two spans may differ under a shaper.
constexpr double kHeldByTarget = 4;  ///< Round trips that bytes stay away before a target is to blame.
constexpr double kTargetMs = 200;

std::string limit_of(const json& look) {
  const auto found = look.at("session").find("limited_by");
  return found != look.at("session").end() && found->is_string() ? found->get<std::string>() : std::string{};
}

double number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

double age_ms(const json& look) {
  return look.contains("data_thread") ? number(look["data_thread"], "age_ms") : 0;
}

/// Over all lanes of the later look; one that is new began at 0.
double grown(const json& before, const json& now, const char* key) {
  double sum = 0;
  for (const json& lane : now.at("lanes")) {
    sum += number(lane, key);
    for (const json& old : before.at("lanes")) {
      if (old.at("id") == lane.at("id")) sum -= number(old, key);
    }
  }
  return sum;
}

double rate(const json& before, const json& now) {
  const double span = age_ms(now) - age_ms(before);
  return span <= 0 ? 0 : grown(before, now, "sent_bytes") / span * 1000;
}

class LimitCheck {
 public:
  explicit LimitCheck(const std::vector<json>& looks)
      : looks_(looks), first_(looks.front()), last_(looks.back()), rate_(rate(first_, last_)) {}

  std::vector<Finding> run() const {
    const std::string limit = prevailing();
    const bool wait = most([](const json& look) { return number(look, "backlog_bytes") > 0; });
    // A limit of our own keeps bytes with their sources.
    if (limit == "limit") {
      return {note("limited_by_limit", "a bandwidth limit of this agent holds its sources back", "",
                   "nothing is broken; culvert-agent limit list shows it")};
    }
    if (!wait) return {};
    if (part_of_span("cpu_ms") + part_of_span("wait_ms") >= kBusyThread) return {by_cpu()};
    if (limit == "line") return {by_line()};
    if (limit == "buffers") {
      return {{"limited_by_buffers", "the kernels' socket buffers hold less than this line does", seen(""),
               "raise the third number of net.ipv4.tcp_wmem on this machine, and of net.ipv4.tcp_rmem on "
               "the gateway's, to twice the line's rate times its round trip (sysctl); if they are so, see "
               "whether the gateway's machine is too busy to empty its buffers"}};
    }
    if (limit == "window") return {by_window()};
    if (limit == "memory") {
      return {{"limited_by_memory", "the agent's memory for data on its way is used up", seen(""),
               "raise [limits] session_memory in agent.toml and start the agent again"}};
    }
    return {};
  }

 private:
  bool most(const std::function<bool(const json&)>& hold) const {
    const auto found = std::count_if(looks_.begin(), looks_.end(), hold);
    return static_cast<double>(found) >= kMost * static_cast<double>(looks_.size());
  }

  /// The limit of most looks; empty when it changes too often.
  std::string prevailing() const {
    for (const json& look : looks_) {
      const std::string limit = limit_of(look);
      if (most([&](const json& other) { return limit_of(other) == limit; })) return limit;
    }
    const bool line =
        most([](const json& look) { return limit_of(look) == "line" || limit_of(look) == "buffers"; });
    return line ? "line" : "";
  }

  std::string seen(const std::string& more) const {
    return fmt::format("{:.0f} bytes wait, {:.1f} Mbit/s leave{}{}", number(last_, "backlog_bytes"),
                       rate_ * 8 / 1e6, more.empty() ? "" : "; ", more);
  }

  Finding note(std::string id, std::string cause, const std::string& more, std::string advice) const {
    return {std::move(id), std::move(cause), seen(more), std::move(advice), true};
  }

  double part_of_span(const char* key) const {
    if (!last_.contains("data_thread") || !first_.contains("data_thread")) return 0;
    const double span = age_ms(last_) - age_ms(first_);
    return span <= 0 ? 0 : (number(last_["data_thread"], key) - number(first_["data_thread"], key)) / span;
  }

  Finding by_cpu() const {
    return {"limited_by_cpu", "the agent's processor is the limit: its data thread has no time left",
            seen(fmt::format("the data thread runs {:.0f} % of the time and waits for a processor {:.0f} %",
                             part_of_span("cpu_ms") * 100, part_of_span("wait_ms") * 100)),
            "give this machine a faster core, or take other load from it"};
  }

  struct RoundTrips {
    double least =
        0;  ///< ms; of all lanes, which share the line: one made while a queue stood knows no less.
    double usual = 0;  ///< ms; the median of the looks, of the lane that carries most.

    bool queued() const { return usual >= least * kQueued && usual >= least + kQueuedMs; }
  };

  RoundTrips round_trips() const {
    RoundTrips found;
    std::vector<double> seen;
    for (const json& look : looks_) {
      const json* busiest = nullptr;
      for (const json& lane : look.at("lanes")) {
        const double least = number(lane, "tcp_least_rtt_ms");
        if (least > 0 && (found.least == 0 || least < found.least)) found.least = least;
        if (busiest == nullptr || number(lane, "sent_bytes") > number(*busiest, "sent_bytes"))
          busiest = &lane;
      }
      if (busiest != nullptr) seen.push_back(number(*busiest, "tcp_rtt_ms"));
    }
    if (seen.empty()) return found;
    const auto middle = seen.begin() + static_cast<std::ptrdiff_t>(seen.size() / 2);
    std::ranges::nth_element(seen, middle);
    found.usual = *middle;
    return found;
  }

  /// Empty: hardly any.
  std::string sent_again() const {
    const double sent = grown(first_, last_, "segments_sent");
    const double lost = sent <= 0 ? 0 : grown(first_, last_, "segments_resent") / sent;
    if (sent < static_cast<double>(kLeastSegments) || lost < kLossy) return {};
    return fmt::format("{:.1f} % of {:.0f} segments had to be sent again", lost * 100, sent);
  }

  /// In nearly every part of the time, and not in bursts, as where a queue overflows now and then.
  bool loses_all_the_time() const {
    const std::size_t parts = std::min(kParts, looks_.size() - 1);
    std::size_t lossy = 0;
    for (std::size_t i = 0; i < parts; ++i) {
      const json& from = looks_[i * (looks_.size() - 1) / parts];
      const json& to = looks_[(i + 1) * (looks_.size() - 1) / parts];
      if (grown(from, to, "segments_resent") > 0) ++lossy;
    }
    return lossy * 4 >= parts * 3;
  }

  /// A line that is full drops what its queue cannot take, in bursts and with a queue; one that loses packets
  /// does so all the time, and without a queue.
  Finding by_line() const {
    const RoundTrips trips = round_trips();
    std::string more = sent_again();
    if (!more.empty() && !trips.queued() && loses_all_the_time()) {
      return {"limited_by_loss", "the line to the gateway loses packets", seen(more),
              "have the owner of the network look for a bad link, a duplex mismatch or a policer that drops"};
    }
    if (trips.queued()) {
      more = fmt::format("round trip {:.1f} ms, {:.1f} ms without a queue{}{}", trips.usual, trips.least,
                         more.empty() ? "" : "; ", more);
    }
    const double early = rate(first_, looks_[looks_.size() / 2]);
    const double late = rate(looks_[looks_.size() / 2], last_);
    const bool steady = early > 0 && std::abs(early - late) <= kSteady * std::max(early, late);
    if (steady && trips.queued()) {
      return note("limited_by_shaper",
                  "something on the way gives this site a steady rate and queues what is more: a shaper, "
                  "or the slowest link",
                  more,
                  "nothing is broken; if more was promised, ask the owner of the line what rate is set");
    }
    return note("limited_by_line", "the line to the gateway is full: sources give more than it carries", more,
                "nothing is broken; if the line should carry more, look for other traffic");
  }

  /// By how long bytes stay away (backlog over rate, Little's law): about a round trip where a window is too
  /// small, longer where the target holds them.
  Finding by_window() const {
    double round_trip = 0;
    for (const json& lane : last_.at("lanes")) round_trip = std::max(round_trip, number(lane, "rtt_ms"));
    const double away_ms = rate_ <= 0 ? 1e9 : number(last_, "backlog_bytes") / rate_ * 1000;
    const std::string how_long =
        rate_ <= 0
            ? "nothing is taken"
            : fmt::format("bytes stay away for {:.0f} ms at {:.1f} ms of round trip", away_ms, round_trip);
    if (away_ms > kHeldByTarget * round_trip + kTargetMs) {
      return note("limited_by_target", "the far end takes no more: its targets are slower than the sources",
                  how_long, "look at load and disk of the targets, or ask the provider to");
    }
    return note("limited_by_window", "the window is the limit: more could be on its way at once", how_long,
                "nothing is broken; if it lasts, raise session_memory at agent and gateway");
  }

  const std::vector<json>& looks_;
  const json& first_;
  const json& last_;
  const double rate_;
};

}  // namespace

std::vector<Finding> conclude_limit(const std::vector<json>& looks) {
  return LimitCheck{looks}.run();
}

}  // namespace culvert
