#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "cloud-api-client/src/rest_transport.hpp"
#include "tests/unit/cloud_api/support/test_gateway.hpp"

using namespace culvert;
using namespace culvert::cloud_api;
using culvert::test::http_reply;
using culvert::test::SeenRequest;
using culvert::test::TestGateway;
using culvert::test::TestPki;

namespace {

/// An HTTP proxy for one connection, which leads every CONNECT to `target` whatever it names.
class ConnectProxy {
 public:
  ConnectProxy(std::uint16_t target, std::string answer) : target_(target), answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_, 1) == 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ConnectProxy(const ConnectProxy&) = delete;
  ConnectProxy& operator=(const ConnectProxy&) = delete;
  ~ConnectProxy() {
    ::shutdown(listener_, SHUT_RDWR);
    stop();
    ::close(listener_);
  }

  GatewayUrl url() const { return {"127.0.0.1", port_}; }
  /// What the client asked for; ends the proxy.
  std::string request() {
    stop();
    return request_;
  }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  void stop() {
    if (thread_.joinable()) thread_.join();
  }

  void run() {
    const int client = ::accept(listener_, nullptr, nullptr);
    if (client < 0) return;
    char buffer[16384];
    while (request_.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(client, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      request_.append(buffer, static_cast<std::size_t>(n));
    }
    ::send(client, answer_.data(), answer_.size(), MSG_NOSIGNAL);
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(target_);
    if (answer_.find(" 200 ") != std::string::npos &&
        ::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      pollfd ends[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
      for (bool open = true; open && ::poll(ends, 2, 10'000) > 0;) {
        for (int i = 0; i < 2 && open; ++i) {
          if (ends[i].revents == 0) continue;
          const ssize_t n = ::recv(ends[i].fd, buffer, sizeof buffer, 0);
          open = n > 0 && ::send(ends[1 - i].fd, buffer, static_cast<std::size_t>(n), MSG_NOSIGNAL) == n;
        }
      }
    }
    ::close(server);
    ::close(client);
  }

  std::uint16_t target_;
  std::string answer_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::string request_;
  std::thread thread_;
};

Result<HttpReply> ask_through(const ConnectProxy& proxy, const std::string& host, const TestPki& pki) {
  auto tls = TlsPolicy::create(host, certs::PinnedRoots{{pki.root.certificate()}}, std::nullopt);
  REQUIRE(tls);
  RestTransport transport{{host, 8443}, std::move(*tls), proxy.url(), "test"};
  const Wake cancelled;
  return transport.exchange({"GET", "/tunnel/v1/health", ""}, std::chrono::steady_clock::now() + 60s,
                            cancelled);
}

}  // namespace

TEST_CASE("Transport: a proxy is asked to connect to the gateway, whose name it resolves", "[cloud_api]") {
  const TestPki pki = TestPki::make();
  TestGateway gateway{{.credentials = pki.server({"gw.invalid", "2001:db8::7"})},
                      [](const SeenRequest&) { return http_reply(200, "{}"); }};
  const auto [host, shown] = GENERATE(table<std::string, std::string>(
      {{"gw.invalid", "gw.invalid:8443"}, {"2001:db8::7", "[2001:db8::7]:8443"}}));
  ConnectProxy proxy{gateway.port(), "HTTP/1.1 200 Connection established\r\n\r\n"};
  const auto reply = ask_through(proxy, host, pki);
  if (!reply) FAIL(reply.error().to_string());
  CHECK(reply->status == 200);
  CHECK(proxy.request().starts_with("CONNECT " + shown + " HTTP/1.1\r\n"));
  CHECK(gateway.requests().at(0).server_name == (host[0] == 'g' ? host : ""));
}

TEST_CASE("Transport: a proxy that refuses is named, with what it said", "[cloud_api]") {
  const TestPki pki = TestPki::make();
  ConnectProxy proxy{1, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"};
  const auto reply = ask_through(proxy, "gw.invalid", pki);
  REQUIRE_FALSE(reply);
  CAPTURE(reply.error().to_string());
  CHECK(reply.error().code() == Errc::Unreachable);
  CHECK(reply.error().message().find("received: 407") != std::string::npos);
  CHECK(reply.error().message().find("no_proxy") != std::string::npos);
}

TEST_CASE("Transport: a proxy that is not there is told apart from a gateway that is not", "[cloud_api]") {
  const TestPki pki = TestPki::make();
  auto tls = TlsPolicy::create("gw.invalid", certs::PinnedRoots{{pki.root.certificate()}}, std::nullopt);
  REQUIRE(tls);
  std::uint16_t free_port = 0;
  {
    free_port = TestGateway{{.plain = true}, [](const SeenRequest&) { return ""; }}.port();
  }
  RestTransport transport{{"gw.invalid", 8443}, std::move(*tls), GatewayUrl{"127.0.0.1", free_port}, "test"};
  const Wake cancelled;
  const auto reply = transport.exchange({"GET", "/", ""}, std::chrono::steady_clock::now() + 60s, cancelled);
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code() == Errc::ConnectionRefused);
  CHECK(reply.error().to_string().find("https_proxy") != std::string::npos);
}
