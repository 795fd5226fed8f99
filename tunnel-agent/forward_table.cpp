#include "tunnel-agent/forward_table.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace culvert {

namespace asio = boost::asio;

struct ForwardTable::Entry {
  std::unique_ptr<PortListener> listener;  // Null when the file is broken.
  ForwardState state = ForwardState::Closed;
  std::string error;
};

ForwardTable::ForwardTable(asio::io_context& context, StreamSink& sink, Duration close_after,
                           Duration retry_open)
    : context_(context),
      sink_(sink),
      close_after_(close_after),
      retry_open_(retry_open),
      retry_timer_(context),
      session_timer_(context),
      target_timer_(context),
      alive_(std::make_shared<bool>(true)) {
  arm(session_timer_, close_after_, &ForwardTable::session_is_dead);
}

ForwardTable::~ForwardTable() {
  *alive_ = false;
}

void ForwardTable::start(std::vector<ForwardFile> files) {
  for (ForwardFile& file : files) {
    auto entry = std::make_unique<Entry>();
    if (file.forward) {
      entry->listener = std::make_unique<PortListener>(context_, std::move(*file.forward), sink_);
      apply(*entry);
    } else {
      entry->state = ForwardState::Failed;
      entry->error = file.forward.error().text();
      spdlog::error("forward={} not opened: {}", file.name, entry->error);
    }
    entries_[file.name] = std::move(entry);
  }
}

Result<void> ForwardTable::add(Forward forward, std::vector<UniqueFd> sockets) {
  if (stopped_) {
    return Error{
        Errc::Draining,
        "the agent is stopping and opens no more ports; repeat this when it has stopped or runs again"};
  }
  if (const std::string owner = owner_of(forward.port); !owner.empty() && owner != forward.name) {
    return Error{Errc::PortInUse,
                 fmt::format("port {} belongs to forward '{}'; choose another with --port, or remove "
                             "that forward first",
                             forward.port, owner)};
  }
  const std::string name = forward.name;
  auto entry = std::make_unique<Entry>();
  entry->listener = std::make_unique<PortListener>(context_, std::move(forward), sink_);
  if (sockets.empty()) {
    if (auto opened = entry->listener->open(); !opened) return opened;
  } else {
    entry->listener->open_with(std::move(sockets));
  }
  entry->state = ForwardState::Listening;
  spdlog::info("forward={} port={} target={} listening", name, entry->listener->forward().port,
               entry->listener->forward().target);
  Entry& added = *entry;
  entries_[name] = std::move(entry);
  apply(added);
  return {};
}

bool ForwardTable::remove(const std::string& name) {
  if (entries_.erase(name) == 0) return false;
  spdlog::info("forward={} removed", name);
  return true;
}

void ForwardTable::set_weight(const std::string& name, std::uint8_t weight) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second->listener == nullptr) return;
  if (found->second->listener->forward().weight == weight) return;
  found->second->listener->set_weight(weight);
  spdlog::info("forward={} weight={} for new streams", name, weight);
}

const Forward* ForwardTable::find(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second->listener == nullptr) return nullptr;
  return &found->second->listener->forward();
}

std::string ForwardTable::owner_of(std::uint16_t port) const {
  for (const auto& [name, entry] : entries_) {
    if (entry->listener != nullptr && entry->listener->forward().port == port) return name;
  }
  return {};
}

std::set<std::uint16_t> ForwardTable::ports() const {
  std::set<std::uint16_t> ports;
  for (const auto& [name, entry] : entries_) {
    if (entry->listener != nullptr) ports.insert(entry->listener->forward().port);
  }
  return ports;
}

std::vector<ForwardStatus> ForwardTable::status() const {
  std::vector<ForwardStatus> list;
  for (const auto& [name, entry] : entries_) {
    ForwardStatus status;
    status.name = name;
    status.state = entry->state;
    status.error = entry->error;
    if (entry->listener != nullptr) {
      const Forward& forward = entry->listener->forward();
      status.port = forward.port;
      status.weight = forward.weight;
      for (const IpAddress& address : forward.listen_addresses()) status.listen.push_back(address.to_text());
      if (const auto trouble = troubles_.find(forward.target); trouble != troubles_.end())
        status.trouble = trouble->second;
    }
    list.push_back(std::move(status));
  }
  return list;
}

void ForwardTable::set_session_state(bool up) {
  if (up == session_up_) return;
  session_up_ = up;
  session_dead_ = false;
  if (up) {
    session_timer_.cancel();
    apply_all();
  } else {
    arm(session_timer_, close_after_, &ForwardTable::session_is_dead);
  }
}

void ForwardTable::set_target_state(const std::string& target, bool alive) {
  if (alive) {
    troubles_.erase(target);
    if (dead_targets_.erase(target) > 0) apply_all();
  } else if (dead_targets_.try_emplace(target, std::chrono::steady_clock::now()).second) {
    targets_changed();
  }
}

void ForwardTable::note_trouble(const std::string& target, TargetTrouble trouble) {
  // Only of targets that a forward has: nothing else would ever take it away.
  const bool ours = std::ranges::any_of(entries_, [&](const auto& entry) {
    return entry.second->listener != nullptr && entry.second->listener->forward().target == target;
  });
  if (ours) troubles_[target] = std::move(trouble);
}

void ForwardTable::stop() {
  stopped_ = true;
  retry_timer_.cancel();
  apply_all();
}

void ForwardTable::apply_all() {
  for (const auto& [name, entry] : entries_) apply(*entry);
}

bool ForwardTable::wants_closed(const Entry& entry) const {
  if (stopped_) return true;
  const Forward& forward = entry.listener->forward();
  if (!forward.close_when_down) return false;
  if (session_dead_) return true;
  const auto dead = dead_targets_.find(forward.target);
  return dead != dead_targets_.end() && std::chrono::steady_clock::now() - dead->second >= close_after_;
}

/// Brings the port into the state it should have.
void ForwardTable::apply(Entry& entry) {
  if (entry.listener == nullptr) return;
  if (wants_closed(entry)) {
    close(entry);
  } else if (!entry.listener->is_open()) {
    try_open(entry);
  }
}

void ForwardTable::try_open(Entry& entry) {
  const Forward& forward = entry.listener->forward();
  auto opened = entry.listener->open();
  if (opened) {
    entry.state = ForwardState::Listening;
    entry.error.clear();
    spdlog::info("forward={} port={} target={} listening", forward.name, forward.port, forward.target);
    return;
  }
  std::string why = opened.error().text();
  // The process that holds the port is this one then: "stop it" would be bad advice.
  const auto other = std::ranges::find_if(entries_, [&](const auto& held) {
    const PortListener* const listener = held.second->listener.get();
    return listener != nullptr && listener != entry.listener.get() && listener->is_open() &&
           listener->forward().port == forward.port;
  });
  if (opened.error().code() == Errc::PortInUse && other != entries_.end()) {
    why =
        fmt::format("port {} belongs to forward '{}' already; give one of the two another port, or remove it",
                    forward.port, other->first);
  }
  // The same reason every five seconds is one line.
  if (entry.error != why) {
    spdlog::error("forward={} port={} not opened, trying again: {}", forward.name, forward.port, why);
  }
  entry.state = ForwardState::Failed;
  entry.error = std::move(why);
  if (!retry_armed_) {
    retry_armed_ = true;
    arm(retry_timer_, retry_open_, &ForwardTable::retry_failed);
  }
}

void ForwardTable::close(Entry& entry) {
  if (entry.listener->is_open() && !stopped_) {
    spdlog::warn("forward={} port={} closed: session or target is down", entry.listener->forward().name,
                 entry.listener->forward().port);
  }
  entry.listener->close();
  entry.state = ForwardState::Closed;
  entry.error.clear();
}

void ForwardTable::arm(asio::steady_timer& timer, Duration after, void (ForwardTable::*action)()) {
  timer.expires_after(after);
  timer.async_wait([this, alive = alive_, action](const boost::system::error_code& cancelled) {
    if (*alive && !cancelled) (this->*action)();
  });
}

void ForwardTable::retry_failed() {
  retry_armed_ = false;
  apply_all();
}

void ForwardTable::session_is_dead() {
  if (session_up_) return;
  session_dead_ = true;
  apply_all();
}

/// Closes what has been dead long enough, lets a closed port try again later, and comes back for the next
/// one.
void ForwardTable::targets_changed() {
  const Instant now = std::chrono::steady_clock::now();
  std::erase_if(dead_targets_,
                [&](const auto& dead) { return now - dead.second >= close_after_ + kTargetRetry; });
  apply_all();
  if (dead_targets_.empty()) return;
  Instant next = Instant::max();
  for (const auto& [target, since] : dead_targets_) {
    next = std::min(next,
                    now - since < close_after_ ? since + close_after_ : since + close_after_ + kTargetRetry);
  }
  arm(target_timer_, next - now, &ForwardTable::targets_changed);
}

}  // namespace culvert
