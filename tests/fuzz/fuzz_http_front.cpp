// What a stranger can send behind the TLS handshake: any bytes, cut anywhere, through the parser and into the
// two forms of request. Limits hold, nothing crashes, and a lane request never names a session that is not 16
// digits.
#include <boost/asio/buffer.hpp>
#include <cstdint>
#include <cstdlib>

#include "cloud-gateway/api/api_router.hpp"
#include "cloud-gateway/edge/http_request.hpp"
#include "tunnel-core/daemon/process.hpp"
#include "tunnel-core/wire/hello.hpp"

namespace {

void require(bool held) {
  if (!held) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace culvert;
  if (size < 1) return 0;
  const std::size_t cut = std::size_t{data[0]} * (size - 1) / 255;
  HttpRequestParser parser;
  limit_request(parser);
  parser.eager(true);
  boost::system::error_code error;
  std::size_t used = 0;
  // The front's buffer works the same way: what the parser did not take is offered again with what follows.
  for (const std::size_t end : {cut, size - 1}) {
    if (error || parser.is_done() || end <= used) continue;
    used += parser.put(boost::asio::buffer(data + 1 + used, end - used), error);
    if (error == boost::beast::http::error::need_more) error = {};
  }
  if (error || !parser.is_done()) return 0;
  const HttpRequest& message = parser.get();
  require(message.body().size() <= kMaxApiBody);
  const ApiRequest call = api_request(message, false, "192.0.2.1", std::nullopt, "0000000000000000");
  require(call.body.size() <= kMaxApiBody && call.path.size() <= kMaxHttpHead);
  if (!asks_for_lane(message)) return 0;
  const LaneRequest lane =
      lane_request(message, used < size - 1, {"01", {"acme", "tokyo"}}, "0000000000000000");
  if (!ApiRouter::session_of_path(lane.path)) return 0;
  if (const auto bytes = from_hex(lane.hello_hex)) {
    if (const auto hello = decode_hello(*bytes)) require(hello->epoch != 0 && hello->lane.value != 0);
  }
  return 0;
}
