// A TlsStream at each end of a TCP connection over loopback, both on one io_context.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string_view>

#include "tunnel-core/net/tls_stream.hpp"

namespace culvert::test {

struct ConnectedSockets {
  explicit ConnectedSockets(asio::io_context& io);
  asio::ip::tcp::socket client;
  asio::ip::tcp::socket server;
};

/// Runs `io` until `done()`; fails the test after 10 s.
template <class Done>
void run_until(asio::io_context& io, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error{"the condition did not come true"};
    io.restart();
    io.run_one_for(std::chrono::milliseconds{100});
  }
}

struct ConnectedStreams {
  ConnectedStreams(TlsContext client_context, TlsContext server_context);

  /// Runs both handshakes to their end.
  void handshake();

  asio::io_context io;
  std::unique_ptr<TlsStream> client;
  std::unique_ptr<TlsStream> server;
  std::optional<error_code> client_result;
  std::optional<error_code> server_result;
};

}  // namespace culvert::test
