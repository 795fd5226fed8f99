// Errc as boost::system::error_code, for the Asio operations of TlsStream. The sentence for a person is in
// TlsStream::last_error(); the code alone carries only its name.
#pragma once

#include <boost/system/error_code.hpp>

#include "tunnel-core/base/error.hpp"

namespace culvert {

const boost::system::error_category& errc_category();

inline boost::system::error_code error_code_of(Errc code) {
  return {static_cast<int>(code), errc_category()};
}

}  // namespace culvert
