// What lies between the frames of a lane and its TLS records: nothing (`culvert`), or the framing of RFC 6455
// for middleboxes that let nothing else pass (`websocket`). Of the lane's thread; knows no session.
#pragma once

#include <memory>
#include <optional>

#include "tunnel-core/base/limits.hpp"
#include "tunnel-core/mux/session.hpp"
#include "tunnel-core/net/tls_engine.hpp"

namespace culvert {

enum class Carrier { Culvert, WebSocket };

class LaneCarrier {
 public:
  virtual ~LaneCarrier() = default;

  /// @param role  of this end: clients of RFC 6455 mask what they send.
  static std::unique_ptr<LaneCarrier> create(Carrier kind, Role role);

  /// Takes a frame: seals it, or packs it behind others that go into one record.
  /// @error as TlsEngine::seal().
  virtual Result<void> put(TlsEngine& engine, const Transmit& frame) = 0;
  /// Seals what is packed.
  virtual Result<void> finish(TlsEngine& engine) = 0;
  /// Bytes taken and not sealed.
  virtual std::size_t packed() const = 0;
  /// As TlsEngine::read_some(), with bytes of frames in `out`. When it says Failed, broken() may know why.
  virtual ReadOutcome read_some(TlsEngine& engine, MutableByteSpan out) = 0;
  /// Turns bytes that were read already into bytes of frames, in place; how many.
  virtual Result<std::size_t> unwrap(TlsEngine& engine, MutableByteSpan bytes) = 0;
  /// The carrier's own good-bye, before that of TLS.
  virtual void say_close(TlsEngine& engine) = 0;
  const std::optional<Error>& broken() const { return broken_; }

 protected:
  std::optional<Error> broken_;
};

}  // namespace culvert
