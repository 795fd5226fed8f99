// The admin commands forward.add, forward.list and forward.remove: on files alone, or on the running agent as
// well.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <future>
#include <memory>

#include "tunnel-agent/config.hpp"
#include "tunnel-agent/forward_table.hpp"
#include "tunnel-core/daemon/admin_socket.hpp"

namespace culvert {

/// A thread that is busy that long has stopped, or is stopping.
constexpr std::chrono::seconds kThreadPatience{10};

/// Runs `work` on the context's thread and waits for its Result.
/// @error ShuttingDown when that thread does not come to it.
template <class Work>
auto run_on(boost::asio::io_context& context, Work work) -> decltype(work()) {
  using Value = decltype(work());
  auto task =
      std::make_shared<std::packaged_task<Value()>>(std::move(work));  // Owned here and by the context.
  auto result = task->get_future();
  boost::asio::post(context, [task] { (*task)(); });
  if (result.wait_for(kThreadPatience) == std::future_status::ready) return result.get();
  return Error{Errc::ShuttingDown,
               "the agent does not answer, it is probably stopping; try again when it runs"};
}

/// What the commands change in a running agent. Called on the admin socket's thread.
class LiveForwards {
 public:
  virtual ~LiveForwards() = default;
  virtual Result<std::vector<ForwardStatus>> status() = 0;
  /// As choose_port() and ForwardTable::add(). @return the port that is open now, and what was skipped.
  virtual Result<ChosenPort> add(const Forward& forward) = 0;
  virtual Result<void> remove(const std::string& name) = 0;
  virtual Result<void> set_weight(const std::string& name, std::uint8_t weight) = 0;
};

/// A ForwardTable reached from another thread: every call runs on the table's io_context and is waited for,
/// 10 s at most (ShuttingDown). Destroy the AdminSocket before the table.
class TableOnContext final : public LiveForwards {
 public:
  TableOnContext(boost::asio::io_context& context, ForwardTable& table, PortPool pool)
      : context_(context), table_(table), pool_(pool) {}
  Result<std::vector<ForwardStatus>> status() override;
  Result<ChosenPort> add(const Forward& forward) override;
  Result<void> remove(const std::string& name) override;
  Result<void> set_weight(const std::string& name, std::uint8_t weight) override;

 private:
  boost::asio::io_context& context_;
  ForwardTable& table_;
  PortPool pool_;
};

class ForwardService {
 public:
  /// @param live  null when no agent runs; outlives this object.
  ForwardService(const AgentConfig& config, LiveForwards* live)
      : directory_(config.forwards_dir()), pool_(config.port_pool), live_(live) {}

  /// forward.add {"name", "port"?, "bind"?, "allow_from"?, "close_when_down"?, "weight"?}
  ///   -> {"name", "port", "added", "weight", "skipped"}
  /// Of a forward that is there, another weight is taken over; anything else that differs is AlreadyExists.
  ///
  /// forward.list {}
  ///   -> {"forwards": […]} as in `status`
  ///
  /// forward.remove {"name"}
  ///   -> {"name"}
  ///
  /// Success means that the file is on the disk and the port open (or closed).
  /// @error UsageInvalid, AlreadyExists, NotFound, PortInUse, Forbidden, DiskFull, IoFailed.
  Result<nlohmann::json> execute(const AdminRequest& request);

 private:
  struct Wanted;
  static Result<Wanted> read_wanted(const nlohmann::json& arguments);
  Result<nlohmann::json> add(const nlohmann::json& arguments);
  Result<nlohmann::json> add_again(Forward existing, const Wanted& wanted);
  Result<void> open_where_missing(const Forward& forward);
  Result<nlohmann::json> list();
  Result<nlohmann::json> remove(const nlohmann::json& arguments);
  Result<ChosenPort> open_offline(const Forward& forward, const std::vector<ForwardFile>& files);

  std::filesystem::path directory_;
  PortPool pool_;
  LiveForwards* live_;
};

}  // namespace culvert
