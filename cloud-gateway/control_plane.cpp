#include "cloud-gateway/control_plane.hpp"

namespace culvert {

namespace {

AdminHooks hooks_of(Gateway& gateway, SessionService& sessions) {
  return {[&gateway, &sessions]() -> Result<void> {
            auto rebuilt = gateway.policy->rebuild(gateway.store);
            if (rebuilt) sessions.apply_policy();
            return rebuilt;
          },
          [&sessions](const certs::SiteIdentity& identity, Errc why) { sessions.end_site(identity, why); },
          [&sessions] { return sessions.live_status(); }};
}

}  // namespace

ControlPlane::ControlPlane(Gateway& gateway, SessionService& sessions)
    : gateway_(gateway),
      enroller_(gateway.store, *gateway.policy, gateway.sites_authority, gateway.config.gateway_url()),
      api_(gateway.store, *gateway.policy, enroller_, sessions),
      admin_(gateway.store, gateway.joining_terms(), hooks_of(gateway, sessions)) {}

Result<void> ControlPlane::open_admin_socket() {
  auto socket = AdminSocket::listen(gateway_.config.data_dir,
                                    [this](const AdminRequest& request) { return admin_.execute(request); });
  if (!socket) return std::move(socket).error();
  socket_ = std::move(*socket);
  return {};
}

}  // namespace culvert
