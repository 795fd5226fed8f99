#include "tests/integration/net/connected_streams.hpp"

#include <boost/asio/ip/tcp.hpp>

namespace culvert::test {

ConnectedSockets::ConnectedSockets(asio::io_context& io) : client(io), server(io) {
  asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
  client.connect(acceptor.local_endpoint());
  server = acceptor.accept();
}

ConnectedStreams::ConnectedStreams(TlsContext client_context, TlsContext server_context) {
  ConnectedSockets sockets{io};
  client = std::make_unique<TlsStream>(std::move(sockets.client), std::move(client_context));
  server = std::make_unique<TlsStream>(std::move(sockets.server), std::move(server_context));
}

void ConnectedStreams::handshake() {
  client->async_handshake([this](error_code error) { client_result = error; });
  server->async_handshake([this](error_code error) { server_result = error; });
  run_until(io, [this] { return client_result && server_result; });
}

}  // namespace culvert::test
