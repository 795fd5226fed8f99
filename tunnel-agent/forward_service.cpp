#include "tunnel-agent/forward_service.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>

#include "certs/site_identity.hpp"

namespace culvert {

using nlohmann::json;

namespace {

ForwardStatus status_of_file(const ForwardFile& file) {
  ForwardStatus status;
  status.name = file.name;
  if (!file.forward) {
    status.state = ForwardState::Failed;
    status.error = file.forward.error().text();
    return status;
  }
  status.port = file.forward->port;
  status.weight = file.forward->weight;
  for (const IpAddress& address : file.forward->listen_addresses())
    status.listen.push_back(address.to_text());
  return status;
}

json answer_of(const Forward& forward, bool added, const std::vector<std::string>& skipped) {
  return json{{"name", forward.name},
              {"port", forward.port},
              {"added", added},
              {"weight", forward.weight},
              {"skipped", skipped}};
}

}  // namespace

/// The forward that the arguments describe, and which of its settings they name.
struct ForwardService::Wanted {
  Forward forward;  ///< Port 0: to be chosen.
  bool settings = false;
  bool weight = false;
};

Result<ForwardService::Wanted> ForwardService::read_wanted(const json& arguments) {
  Wanted wanted;
  wanted.forward.name = arguments.value("name", "");
  wanted.forward.target = wanted.forward.name;
  if (auto named = certs::check_name("target", wanted.forward.name); !named) return std::move(named).error();
  const auto port = arguments.value("port", std::int64_t{0});
  if (arguments.contains("port") && (port < 1 || port > 65535)) {
    return Error{Errc::UsageInvalid,
                 fmt::format("port {} is outside 1-65535; name another with --port", port)};
  }
  wanted.forward.port = static_cast<std::uint16_t>(port);
  const auto weight = arguments.value("weight", std::int64_t{kDefaultWeight});
  if (weight < kLeastWeight || weight > kMostWeight) {
    return Error{Errc::UsageInvalid, fmt::format("weight {} is outside {}-{}; name another with --weight",
                                                 weight, kLeastWeight, kMostWeight)};
  }
  wanted.forward.weight = static_cast<std::uint8_t>(weight);
  wanted.weight = arguments.contains("weight");
  wanted.settings =
      arguments.contains("bind") || arguments.contains("allow_from") || arguments.contains("close_when_down");
  for (const auto& text : arguments.value("bind", std::vector<std::string>{})) {
    auto address = IpAddress::parse(text);
    if (!address) return std::move(address).error().at("read --bind");
    wanted.forward.bind.push_back(*address);
  }
  if (auto good = check_bind(wanted.forward.bind); !good) {
    return Error{Errc::UsageInvalid, "--bind " + good.error().message()};
  }
  for (const auto& text : arguments.value("allow_from", std::vector<std::string>{})) {
    auto network = Network::parse(text);
    if (!network) return std::move(network).error().at("read --allow-from");
    wanted.forward.allow_from.push_back(*network);
  }
  wanted.forward.close_when_down = arguments.value("close_when_down", false);
  return wanted;
}

/// Success when it asks for nothing else than what is there, or for another weight.
Result<json> ForwardService::add_again(Forward existing, const Wanted& wanted) {
  Forward asked = wanted.forward;
  if (asked.port == 0) asked.port = existing.port;
  asked.target = existing.target;
  asked.weight = existing.weight;
  if (!wanted.settings) {
    asked.bind = existing.bind;
    asked.allow_from = existing.allow_from;
    asked.close_when_down = existing.close_when_down;
  }
  if (asked != existing) {
    return Error{
        Errc::AlreadyExists,
        fmt::format(
            "forward '{}' is there already, on port {}{}; remove it first: culvert-agent forward remove {}",
            existing.name, existing.port, asked.port == existing.port ? " with other settings" : "",
            existing.name)};
  }
  if (wanted.weight && wanted.forward.weight != existing.weight) {
    existing.weight = wanted.forward.weight;
    if (auto saved = save_forward(directory_, existing); !saved)
      return std::move(saved).error().at("change the weight of forward", existing.name);
  }
  if (live_ != nullptr) {
    // Written by hand while the agent ran: asked for by name, it is opened now.
    if (auto opened = open_where_missing(existing); !opened) return std::move(opened).error();
    if (auto set = live_->set_weight(existing.name, existing.weight); !set) return std::move(set).error();
  }
  return answer_of(existing, false, {});
}

Result<std::vector<ForwardStatus>> TableOnContext::status() {
  return run_on(context_, [this] { return Result<std::vector<ForwardStatus>>{table_.status()}; });
}

Result<ChosenPort> TableOnContext::add(const Forward& asked) {
  return run_on(context_, [this, forward = Forward{asked}]() mutable -> Result<ChosenPort> {
    ChosenPort chosen;
    chosen.port = forward.port;
    if (forward.port == 0) {
      auto found = choose_port(pool_, table_.ports(), forward);
      if (!found) return std::move(found).error();
      chosen = std::move(*found);
      forward.port = chosen.port;
    }
    if (auto added = table_.add(forward, std::move(chosen.sockets)); !added) return std::move(added).error();
    chosen.sockets.clear();
    return chosen;
  });
}

Result<void> TableOnContext::remove(const std::string& name) {
  return run_on(context_, [this, name]() -> Result<void> {
    table_.remove(name);
    return {};
  });
}

Result<void> TableOnContext::set_weight(const std::string& name, std::uint8_t weight) {
  return run_on(context_, [this, name, weight]() -> Result<void> {
    table_.set_weight(name, weight);
    return {};
  });
}

Result<json> ForwardService::execute(const AdminRequest& request) {
  if (request.command == "forward.add") return add(request.arguments);
  if (request.command == "forward.list") return list();
  if (request.command == "forward.remove") return remove(request.arguments);
  return Error{Errc::UsageInvalid,
               fmt::format("the agent does not know the command '{}'; are both of the same version?",
                           request.command)};
}

Result<ChosenPort> ForwardService::open_offline(const Forward& forward,
                                                const std::vector<ForwardFile>& files) {
  std::set<std::uint16_t> reserved;
  for (const ForwardFile& file : files) {
    if (!file.forward) continue;
    reserved.insert(file.forward->port);
    if (file.forward->port == forward.port) {
      return Error{Errc::PortInUse,
                   fmt::format("port {} belongs to forward '{}'; choose another with --port, or remove "
                               "that forward first",
                               forward.port, file.name)};
    }
  }
  if (forward.port == 0) return choose_port(pool_, reserved, forward);
  auto sockets = open_listen_sockets(forward);
  if (!sockets) return std::move(sockets).error();
  ChosenPort chosen;
  chosen.port = forward.port;
  return chosen;
}

Result<json> ForwardService::add(const json& arguments) {
  auto wanted = read_wanted(arguments);
  if (!wanted) return std::move(wanted).error();
  auto files = load_forwards(directory_);
  if (!files) return std::move(files).error();
  for (ForwardFile& file : *files) {
    if (file.name != wanted->forward.name) continue;
    if (!file.forward) return Error{file.forward.error()}.at("read the forward that is there already");
    return add_again(std::move(*file.forward), *wanted);
  }
  auto chosen = live_ != nullptr ? live_->add(wanted->forward) : open_offline(wanted->forward, *files);
  if (!chosen) return std::move(chosen).error();
  Forward forward = std::move(wanted->forward);
  forward.port = chosen->port;
  if (live_ != nullptr) {  // Offline the command shows them itself.
    for (const std::string& skipped : chosen->skipped) spdlog::warn("forward={} {}", forward.name, skipped);
  }
  if (auto saved = save_forward(directory_, forward); !saved) {
    if (live_ != nullptr) static_cast<void>(live_->remove(forward.name));
    return std::move(saved).error().at("add forward", forward.name);
  }
  return answer_of(forward, true, chosen->skipped);
}

Result<void> ForwardService::open_where_missing(const Forward& forward) {
  auto forwards = live_->status();
  if (!forwards) return std::move(forwards).error();
  const bool live = std::any_of(forwards->begin(), forwards->end(),
                                [&](const ForwardStatus& status) { return status.name == forward.name; });
  if (live) return {};
  auto opened = live_->add(forward);
  return opened ? Result<void>{} : std::move(opened).error();
}

Result<json> ForwardService::list() {
  if (live_ != nullptr) {
    auto live = live_->status();
    if (!live) return std::move(live).error();
    return json{{"forwards", to_json(*live)}};
  }
  auto files = load_forwards(directory_);
  if (!files) return std::move(files).error();
  std::vector<ForwardStatus> forwards;
  for (const ForwardFile& file : *files) forwards.push_back(status_of_file(file));
  return json{{"forwards", to_json(forwards)}};
}

Result<json> ForwardService::remove(const json& arguments) {
  const auto name = arguments.value("name", std::string{});
  if (name.empty() || name.find('/') != std::string::npos) {
    return Error{Errc::UsageInvalid,
                 "the name of a forward is missing; `culvert-agent forward list` shows them"};
  }
  if (auto removed = remove_forward(directory_, name); !removed) return std::move(removed).error();
  if (live_ != nullptr) {
    if (auto removed = live_->remove(name); !removed) return std::move(removed).error();
  }
  return json{{"name", name}};
}

}  // namespace culvert
