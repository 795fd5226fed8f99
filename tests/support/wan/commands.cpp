// The commands of a line. main.cpp lists them.
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "tests/support/wan/line.hpp"

namespace culvert::wan {
namespace {

std::string done(const std::string& more = "") {
  return "{\"ok\": true, \"at_us\": " + std::to_string(now_ns() / 1000) + more + "}";
}

std::string refused(const std::string& why) {
  return "{\"ok\": false, \"error\": \"" + why + "\"}";
}

bool read_number(const std::string& text, double& value) {
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return end != text.c_str() && *end == '\0' && value >= 0;
}

/// Empty when one of the words is no number.
std::vector<std::uint64_t> numbers_of(const std::vector<std::string>& words) {
  std::vector<std::uint64_t> numbers;
  for (const std::string& word : words) {
    double value = 0;
    if (!read_number(word, value)) return {};
    numbers.push_back(static_cast<std::uint64_t>(value));
  }
  return numbers;
}

/// Which ways a word means; empty when it means none.
std::vector<Way> ways(const std::string& word) {
  if (word == "up") return {Way::Up};
  if (word == "down") return {Way::Down};
  if (word == "both") return {Way::Up, Way::Down};
  return {};
}

bool apply(LinkSettings& settings, const std::string& name, double value) {
  if (name == "delay_ms") {
    settings.delay_ns = static_cast<std::int64_t>(value * 1e6);
  } else if (name == "jitter_ms") {
    settings.jitter_ns = static_cast<std::int64_t>(value * 1e6);
  } else if (name == "loss") {
    if (value > 1) return false;
    settings.loss = value;
  } else if (name == "rate_mbit") {
    settings.rate_bps = value * 1e6;
  } else if (name == "queue_bytes") {
    settings.queue_bytes = static_cast<std::int64_t>(value);
  } else if (name == "reorder") {
    settings.reorder = value != 0;
  } else {
    return false;
  }
  return true;
}

std::string describe(const Link& link) {
  const LinkStatistics& s = link.statistics;
  const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  const double mean_late_us =
      s.packets == 0 ? 0 : static_cast<double>(s.sum_late_ns) / 1e3 / static_cast<double>(s.packets);
  char text[400];
  std::snprintf(
      text, sizeof text,
      "{\"packets\": %llu, \"bytes\": %llu, \"dropped_by_queue\": %llu, \"dropped_by_loss\": %llu, "
      "\"dropped_by_cut\": %llu, \"max_queue_bytes\": %lld, \"mean_late_us\": %.1f, \"max_late_us\": %.1f}",
      number(s.packets), number(s.bytes), number(s.dropped_by_queue), number(s.dropped_by_loss),
      number(s.dropped_by_cut), static_cast<long long>(s.max_queue_bytes), mean_late_us,
      static_cast<double>(s.max_late_ns) / 1e3);
  return text;
}

}  // namespace

std::string Line::obey(const std::string& command) {
  std::istringstream in{command};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  if (words.empty()) return refused("an empty line is no command");
  const std::string& verb = words[0];
  if (verb == "set") return set(words);
  if (verb == "cut" || verb == "uncut") return cut(words);
  if (verb == "reset" || verb == "hole" || verb == "truncate" || verb == "rebind") return kill(words);
  if (verb == "flows") return done(", \"flows\": " + flows_.json());
  if (verb == "stats") return done(statistics_json());
  if (verb == "clear") {
    up_.statistics = {};
    down_.statistics = {};
    not_taken_ = strange_ = reads_ = writes_ = 0;
    return done();
  }
  return refused("unknown command; see wan-line --help");
}

std::string Line::set(const std::vector<std::string>& words) {
  if (words.size() < 4 || words.size() % 2 != 0 || ways(words[1]).empty())
    return refused("set up|down|both NAME VALUE...");
  for (const Way way : ways(words[1])) {
    LinkSettings settings = link(way).settings;
    for (std::size_t i = 2; i < words.size(); i += 2) {
      double value = 0;
      if (!read_number(words[i + 1], value) || !apply(settings, words[i], value)) {
        return refused("no such setting or value: " + words[i]);
      }
    }
    link(way).settings = settings;
  }
  return done();
}

std::string Line::cut(const std::vector<std::string>& words) {
  if (words.size() != 2 || ways(words[1]).empty()) return refused(words[0] + " up|down|both");
  for (const Way way : ways(words[1])) cut_[static_cast<std::size_t>(way)] = words[0] == "cut";
  return done();
}

std::string Line::kill(const std::vector<std::string>& words) {
  const bool all = words.size() == 3 && words[1] == "port";
  const std::vector<std::uint64_t> numbers = numbers_of({words.begin() + (all ? 2 : 1), words.end()});
  if (numbers.empty()) return refused(words[0] + " FLOW... | port FAR_PORT");
  std::vector<Flow*> chosen;
  if (all) {
    chosen = flows_.live(static_cast<std::uint16_t>(numbers.front()));
  } else {
    for (const std::uint64_t number : numbers) {
      Flow* flow = flows_.find(number);
      if (flow != nullptr && !flow->is_over()) chosen.push_back(flow);
    }
  }
  for (Flow* flow : chosen) {
    if (words[0] == "hole") {
      flows_.black_hole(*flow);
    } else if (words[0] == "truncate") {
      flows_.truncate(*flow);
    } else if (words[0] == "rebind") {
      flows_.rebind(*flow);
    } else {
      const auto [to_near, to_far] = flows_.reset(*flow);
      hand_to(near_, to_near);
      hand_to(far_, to_far);
    }
  }
  return done(", \"count\": " + std::to_string(chosen.size()));
}

std::string Line::statistics_json() const {
  return ", \"up\": " + describe(up_) + ", \"down\": " + describe(down_) +
         ", \"not_taken\": " + std::to_string(not_taken_) + ", \"strange\": " + std::to_string(strange_) +
         ", \"reads\": " + std::to_string(reads_) + ", \"writes\": " + std::to_string(writes_);
}

}  // namespace culvert::wan
