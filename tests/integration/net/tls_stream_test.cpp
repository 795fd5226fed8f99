#include "tunnel-core/net/tls_stream.hpp"

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/integration/net/connected_streams.hpp"
#include "tests/integration/net/engine_link.hpp"
#include "tests/integration/net/test_identities.hpp"
#include "tunnel-core/net/error_category.hpp"

namespace culvert::test {
namespace {

namespace http = boost::beast::http;

ConnectedStreams lane_streams() {
  return {lane_context(identities().site), server_context()};
}

/// What the client hears when the server refused it: in TLS 1.3 its handshake is over before.
error_code read_once(asio::io_context& io, TlsStream& stream) {
  std::optional<error_code> result;
  std::array<std::byte, 100> out{};
  stream.async_read_some(asio::buffer(out), [&](error_code error, std::size_t) { result = error; });
  run_until(io, [&] { return result.has_value(); });
  return *result;
}

TlsContext refusing_server(Errc code) {
  auto context = TlsContext::server({identities().server.chain_pem, identities().server.key_pem,
                                     [code](X509*, STACK_OF(X509)*) -> Result<void> {
                                       return Error{code, "we do not want you"};
                                     }});
  REQUIRE(context);
  return *context;
}

}  // namespace

TEST_CASE("TlsStream: megabytes arrive in both directions at once, byte for byte", "[net][tls]") {
  ConnectedStreams streams = lane_streams();
  streams.handshake();
  REQUIRE_FALSE(*streams.client_result);
  REQUIRE_FALSE(*streams.server_result);
  const Bytes up = pattern(5'000'000, 1);
  const Bytes down = pattern(3'000'000, 2);
  Bytes up_arrived(up.size());
  Bytes down_arrived(down.size());
  int finished = 0;
  const auto count = [&](error_code error, std::size_t) {
    CHECK_FALSE(error);
    ++finished;
  };
  asio::async_write(*streams.client, asio::buffer(up), count);
  asio::async_write(*streams.server, asio::buffer(down), count);
  asio::async_read(*streams.server, asio::buffer(up_arrived), count);
  asio::async_read(*streams.client, asio::buffer(down_arrived), count);
  run_until(streams.io, [&] { return finished == 4; });
  CHECK(up_arrived == up);
  CHECK(down_arrived == down);
}

TEST_CASE("TlsStream: carries Beast's HTTP", "[net][tls]") {
  ConnectedStreams streams{browser_context(), server_context()};
  streams.handshake();
  http::request<http::string_body> request{http::verb::post, "/tunnel/v1/health", 11, "a body"};
  request.prepare_payload();
  http::request<http::string_body> arrived;
  boost::beast::flat_buffer buffer;
  bool done = false;
  http::async_write(*streams.client, request, [](error_code error, std::size_t) { CHECK_FALSE(error); });
  http::async_read(*streams.server, buffer, arrived, [&](error_code error, std::size_t) {
    CHECK_FALSE(error);
    done = true;
  });
  run_until(streams.io, [&] { return done; });
  CHECK(arrived.target() == "/tunnel/v1/health");
  CHECK(arrived.body() == "a body");
}

TEST_CASE("TlsStream: close() is an orderly end for the other side", "[net][tls]") {
  ConnectedStreams streams = lane_streams();
  streams.handshake();
  streams.client->close();
  CHECK(read_once(streams.io, *streams.server) == asio::error::eof);
}

TEST_CASE("TlsStream: abort() is never taken for an orderly end", "[net][tls]") {
  ConnectedStreams streams = lane_streams();
  streams.handshake();
  streams.client->abort();
  CHECK(read_once(streams.io, *streams.server) == error_code_of(Errc::IoFailed));
  CHECK(streams.server->last_error().message() == "TLS read failed: the peer reset the connection");
}

TEST_CASE("TlsStream: closing ends a pending read with operation_aborted", "[net][tls]") {
  ConnectedStreams streams = lane_streams();
  streams.handshake();
  std::optional<error_code> result;
  std::array<std::byte, 10> out{};
  streams.server->async_read_some(asio::buffer(out), [&](error_code error, std::size_t) { result = error; });
  asio::post(streams.io, [&] { streams.server->close(); });
  run_until(streams.io, [&] { return result.has_value(); });
  CHECK(*result == asio::error::operation_aborted);
}

// docs/protocol.md §3.1
TEST_CASE("TlsStream: a lane client without a certificate is refused, and hears why", "[net][tls]") {
  auto nobody = TlsContext::client({{}, {}, std::string{kTunnelAlpn}, verifies_server()});
  REQUIRE(nobody);
  ConnectedStreams streams{*nobody, server_context()};
  streams.handshake();
  CHECK(*streams.server_result == error_code_of(Errc::TlsFailed));
  CHECK(streams.server->last_error().message() ==
        "TLS handshake failed: the peer asked for a tunnel lane but has no client certificate");
  streams.server->close();
  CHECK(read_once(streams.io, *streams.client) == error_code_of(Errc::Unauthorized));
  CHECK(streams.client->last_error().message() ==
        "the peer refused our certificate: certificate required (TLS alert 116)");
}

TEST_CASE("TlsStream: an expired client certificate is named at both ends", "[net][tls]") {
  ConnectedStreams streams{lane_context(identities().expired_site), server_context()};
  streams.handshake();
  CHECK(*streams.server_result == error_code_of(Errc::TlsExpired));
  CHECK(streams.server->last_error().message().find("expired at") != std::string::npos);
  streams.server->close();
  CHECK(read_once(streams.io, *streams.client) == error_code_of(Errc::Unauthorized));
  CHECK(streams.client->last_error().message() ==
        "the peer refused our certificate: certificate expired (TLS alert 45)");
}

TEST_CASE("TlsStream: the verifier's error chooses the alert that the peer reads", "[net][tls]") {
  const auto [code, text] = GENERATE(table<Errc, std::string>({
      {Errc::TlsUntrusted, "the peer refused our certificate: unknown CA (TLS alert 48)"},
      {Errc::AccessRevoked, "the peer refused our certificate: certificate revoked (TLS alert 44)"},
      {Errc::TlsWrongName, "the peer refused our certificate: bad certificate (TLS alert 42)"},
  }));
  ConnectedStreams streams{lane_context(identities().site), refusing_server(code)};
  streams.handshake();
  CHECK(streams.server->last_error().code() == code);
  CHECK(streams.server->last_error().message() == "we do not want you");
  streams.server->close();
  CHECK(read_once(streams.io, *streams.client) == error_code_of(Errc::Unauthorized));
  CHECK(streams.client->last_error().message() == text);
}

TEST_CASE("TlsStream: a server that the client does not trust hears it and gets no byte", "[net][tls]") {
  auto context = TlsContext::client({identities().site.chain_pem, identities().site.key_pem,
                                     std::string{kTunnelAlpn}, [](X509*, STACK_OF(X509)*) -> Result<void> {
                                       return Error{Errc::TlsThumbprintMismatch, "not it"};
                                     }});
  REQUIRE(context);
  ConnectedStreams streams{*context, server_context()};
  streams.handshake();
  CHECK(*streams.client_result == error_code_of(Errc::TlsThumbprintMismatch));
  CHECK(streams.client->last_error().message() == "not it");
  CHECK(*streams.server_result == error_code_of(Errc::Unauthorized));
}

// docs/protocol.md §3.1
TEST_CASE("TlsStream: a gateway that does not speak culvert/1 is no gateway", "[net][tls]") {
  auto plain_https = TlsContext::server({identities().server.chain_pem, identities().server.key_pem, {}});
  REQUIRE(plain_https);
  ConnectedStreams streams{lane_context(identities().site), *plain_https};
  streams.handshake();
  CHECK(streams.client->last_error().code() == Errc::TlsFailed);
  CHECK(*streams.server_result);
}

TEST_CASE("TlsStream: plain HTTP, garbage, silence and a reset on the TLS port are told apart",
          "[net][tls]") {
  const auto [sent, message] = GENERATE(table<std::string, std::string>({
      {"GET / HTTP/1.1\r\n\r\n",
       "TLS handshake failed: the peer speaks plain HTTP on a TLS connection; use https"},
      {"CONNECT example.net:443 HTTP/1.1\r\n\r\n",
       "TLS handshake failed: the peer speaks plain HTTP on a TLS connection; use https"},
      {"SSH-2.0-OpenSSH_9.2\r\n", "TLS handshake failed: what the peer sent is not TLS"},
      {std::string(300, '\xff'), "TLS handshake failed: what the peer sent is not TLS"},
      {"", "TLS handshake failed: the connection was cut, the peer did not end TLS"},
  }));
  asio::io_context io;
  ConnectedSockets sockets{io};
  TlsStream server{std::move(sockets.server), server_context()};
  asio::write(sockets.client, asio::buffer(sent));
  sockets.client.shutdown(asio::ip::tcp::socket::shutdown_send);
  std::optional<error_code> result;
  server.async_handshake([&](error_code error) { result = error; });
  run_until(io, [&] { return result.has_value(); });
  CHECK(*result);
  CHECK(server.last_error().message().substr(0, message.size()) == message);
}

TEST_CASE("TlsStream: moves to another thread with the bytes it had read ahead", "[net][tls]") {
  ConnectedStreams streams = lane_streams();
  streams.handshake();
  const Bytes data = pattern(100'000);
  std::size_t written = 0;
  asio::async_write(*streams.client, asio::buffer(data), [&](error_code, std::size_t n) { written = n; });
  run_until(streams.io, [&] { return written == data.size(); });
  Bytes arrived(16384);
  std::size_t first = 0;
  streams.server->async_read_some(asio::buffer(arrived), [&](error_code, std::size_t n) { first = n; });
  run_until(streams.io, [&] { return first != 0; });
  REQUIRE(streams.server->engine().wants_read_now());

  TlsStream::Detached detached = streams.server->detach();
  arrived.resize(data.size());
  std::string failure;
  std::thread owner{[&] {
    asio::io_context io;
    auto attached = TlsStream::attach(io, std::move(detached));
    if (!attached) {
      failure = attached.error().to_string();
      return;
    }
    std::optional<error_code> read;
    asio::async_read(**attached, asio::buffer(arrived.data() + first, arrived.size() - first),
                     [&](error_code error, std::size_t) { read = error; });
    std::optional<error_code> answered;
    asio::async_write(**attached, asio::buffer("answer", 6),
                      [&](error_code error, std::size_t) { answered = error; });
    run_until(io, [&] { return read && answered; });
    if (*read || *answered) failure = (*attached)->last_error().to_string();
  }};
  owner.join();
  CHECK(failure.empty());
  CHECK(arrived == data);
  std::string answer(6, ' ');
  asio::async_read(*streams.client, asio::buffer(answer), [&](error_code, std::size_t n) { written = n; });
  run_until(streams.io, [&] { return written == 6; });
  CHECK(answer == "answer");
}

TEST_CASE("TlsStream: a detached stream that nobody takes closes its socket", "[net][tls]") {
  ConnectedStreams streams = lane_streams();
  streams.handshake();
  { const TlsStream::Detached dropped = streams.server->detach(); }
  CHECK(read_once(streams.io, *streams.client) == error_code_of(Errc::IoFailed));
}

TEST_CASE("TlsContext: a wrong key, an unreadable key and an empty chain are named", "[net][tls]") {
  const Identity& server = identities().server;
  const Identity& site = identities().site;
  CHECK(TlsContext::server({server.chain_pem, site.key_pem, {}}).error().code() == Errc::KeyInvalid);
  CHECK(TlsContext::server({server.chain_pem, "not a key", {}}).error().code() == Errc::KeyInvalid);
  CHECK(TlsContext::server({"", server.key_pem, {}}).error().message() ==
        "the certificate file holds no PEM certificate");
  const std::string cut = server.chain_pem.substr(0, server.chain_pem.size() - 100);
  CHECK(TlsContext::server({cut, server.key_pem, {}}).error().code() == Errc::CertificateInvalid);
}

}  // namespace culvert::test
