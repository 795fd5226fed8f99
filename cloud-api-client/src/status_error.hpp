// What a refusal of the gateway means: status and error object to one Error.
#pragma once

#include "cloud-api-client/src/rest_transport.hpp"
#include "tunnel-core/base/error.hpp"

namespace culvert::cloud_api {

/// @param reply  of any status that the call did not expect; its body may be anything.
Error status_error(const HttpReply& reply);

}  // namespace culvert::cloud_api
