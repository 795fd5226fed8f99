// The running agent: what `culvert-agent run` is.
#pragma once

#include "tunnel-agent/config.hpp"
#include "tunnel-core/base/result.hpp"

namespace culvert {

/// Takes DIR/lock, opens the forwards, prints one line beginning `ready` and tells systemd, then keeps the
/// session with the gateway until SIGTERM or SIGINT; drains, and returns. Does not wait for the gateway.
/// @error before `ready`: InUse (another agent has DIR), FileUnsafe, KeyInvalid, CertificateInvalid,
/// IoFailed.
///        Forwards that cannot be opened are no error: `status` shows them as failed.
Result<void> run_agent(const AgentConfig& config);

}  // namespace culvert
