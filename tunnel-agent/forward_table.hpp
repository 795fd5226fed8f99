// All forwards of the running agent and when their ports are open. Lives on one io_context thread.
//
//            open() worked             session or target dead for 5 s, close_when_down
//   Failed ───────────────▶ Listening ────────────────────────────────────────────────▶ Closed
//     ▲    tried every 5 s      ▲                    alive again                           │
//     └── port taken meanwhile ─┴──────────────────────────────────────────────────────────┘
#pragma once

#include <map>
#include <memory>
#include <set>

#include "tunnel-agent/port_listener.hpp"
#include "tunnel-agent/port_pool.hpp"
#include "tunnel-agent/status.hpp"

namespace culvert {

class ForwardTable {
 public:
  static constexpr Duration kRetryOpen = 5s;   ///< How often a failed port is tried again.
  static constexpr Duration kCloseAfter = 5s;  ///< How long something is dead before close_when_down closes.
  static constexpr Duration kTargetRetry =
      30s;  ///< A dead target's port opens again: only a stream can tell.

  /// @param close_after, retry_open  for tests.
  ForwardTable(boost::asio::io_context& context, StreamSink& sink, Duration close_after = kCloseAfter,
               Duration retry_open = kRetryOpen);
  ~ForwardTable();

  /// Opens all of them. One that fails or whose file is broken is shown as failed, and does not stop the
  /// others.
  void start(std::vector<ForwardFile> files);

  /// Opens one more, at once.
  /// @param sockets  listening already (choose_port()), or empty.
  /// @error PortInUse (another forward or process), Forbidden, IoFailed, Draining (after stop()); nothing is
  ///        changed then.
  Result<void> add(Forward forward, std::vector<UniqueFd> sockets = {});
  /// Closes its port. Streams that are open stay with the data path.
  /// @return false when there is none of that name.
  bool remove(const std::string& name);

  /// Of streams that open from now on. Nothing happens when there is none of that name.
  void set_weight(const std::string& name, std::uint8_t weight);

  /// Null when there is none that is readable. Valid until the next add() or remove().
  const Forward* find(const std::string& name) const;
  /// The name of the forward that has `port`, or empty.
  std::string owner_of(std::uint16_t port) const;
  std::set<std::uint16_t> ports() const;
  /// In the order of names; `streams` is for the data path to fill.
  std::vector<ForwardStatus> status() const;

  /// What close_when_down looks at. Down is what it is until told otherwise the first time; the 5 s run from
  /// then.
  void set_session_state(bool up);
  /// A target whose streams fail to connect is dead; one that connects is alive.
  void set_target_state(const std::string& target, bool alive);

  /// What a stream to that target came to, until one is opened again: status() shows it.
  void note_trouble(const std::string& target, TargetTrouble trouble);

  /// Closes every port for good: the agent drains.
  void stop();

 private:
  struct Entry;

  void apply(Entry& entry);
  void try_open(Entry& entry);
  void close(Entry& entry);
  bool wants_closed(const Entry& entry) const;
  void arm(boost::asio::steady_timer& timer, Duration after, void (ForwardTable::*action)());
  void retry_failed();
  void session_is_dead();
  void apply_all();
  void targets_changed();

  boost::asio::io_context& context_;
  StreamSink& sink_;
  Duration close_after_;
  Duration retry_open_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
  boost::asio::steady_timer retry_timer_;
  boost::asio::steady_timer session_timer_;
  boost::asio::steady_timer target_timer_;
  bool retry_armed_ = false;
  bool session_up_ = false;
  bool session_dead_ = false;  // Down for close_after_.
  bool stopped_ = false;
  std::map<std::string, Instant> dead_targets_;  // Since when.
  std::map<std::string, TargetTrouble> troubles_;
  std::shared_ptr<bool> alive_;  // Shared with timer handlers that outlive this object.
};

}  // namespace culvert
