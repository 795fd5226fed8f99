// The control half of a running gateway, put together: enrolment, REST router, admin commands, admin socket.
#pragma once

#include <memory>

#include "cloud-gateway/api/api_router.hpp"
#include "cloud-gateway/api/session_service.hpp"
#include "cloud-gateway/control/admin_service.hpp"
#include "cloud-gateway/control/enrolment.hpp"
#include "cloud-gateway/gateway.hpp"

namespace culvert {

/// `gateway` and `sessions` outlive it.
class ControlPlane {
 public:
  ControlPlane(Gateway& gateway, SessionService& sessions);

  /// Opens DIR/admin.sock: from here on commands reach this process. Call it when the listeners are open.
  Result<void> open_admin_socket();
  /// Answers no more commands; waits for the one at work. The destructor does the same.
  void close_admin_socket() { socket_.reset(); }

  ApiRouter& api() { return api_; }

 private:
  Gateway& gateway_;
  Enroller enroller_;
  ApiRouter api_;
  AdminService admin_;
  std::unique_ptr<AdminSocket> socket_;  // Last: its thread uses all of the above.
};

}  // namespace culvert
