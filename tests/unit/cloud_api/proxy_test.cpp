#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
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

/// An HTTP proxy that answers the n-th CONNECT with the n-th answer (the last one again and again) and leads
/// a 200 to `target`, whatever was named.
class ConnectProxy {
 public:
  ConnectProxy(std::uint16_t target, std::vector<std::string> answers)
      : target_(target), answers_(std::move(answers)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_, 8) == 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ConnectProxy(const ConnectProxy&) = delete;
  ConnectProxy& operator=(const ConnectProxy&) = delete;
  ~ConnectProxy() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  ProxySettings settings() const {
    ProxySettings settings;
    settings.host = "127.0.0.1";
    settings.port = port_;
    return settings;
  }
  std::vector<std::string> requests() const {
    const std::lock_guard lock{mutex_};
    return requests_;
  }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  void run() {
    while (!stopping_) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      serve(client);
      ::close(client);
    }
  }

  /// Answers are without a body: the connection goes on to the next request.
  void serve(int client) {
    const timeval patience{10, 0};
    ::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char buffer[16384];
    for (;;) {
      std::string request;
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = ::recv(client, buffer, sizeof buffer, 0);
        if (n <= 0) return;
        request.append(buffer, static_cast<std::size_t>(n));
      }
      std::string answer;
      {
        const std::lock_guard lock{mutex_};
        answer = answers_[std::min(requests_.size(), answers_.size() - 1)];
        requests_.push_back(request);
      }
      ::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
      if (answer.find(" 200 ") != std::string::npos) return relay(client);
      if (answer.empty()) return;
    }
  }

  void relay(int client) {
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(target_);
    char buffer[16384];
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
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
  }

  std::uint16_t target_;
  std::vector<std::string> answers_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

const std::string kOpened = "HTTP/1.1 200 Connection established\r\n\r\n";

std::string demand(const std::string& offers) {
  return "HTTP/1.1 407 Proxy Authentication Required\r\n" + offers + "Content-Length: 0\r\n\r\n";
}

const std::string kBasic = "Proxy-Authenticate: Basic realm=\"r\"\r\n";
const std::string kDigest = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";

Instant soon() {
  return std::chrono::steady_clock::now() + 60s;
}

Result<HttpReply> ask_through(const std::shared_ptr<ProxyConnector>& proxy, const std::string& host,
                              const TestPki& pki) {
  auto tls = TlsPolicy::create(host, certs::PinnedRoots{{pki.root.certificate()}}, std::nullopt);
  REQUIRE(tls);
  RestTransport transport{{host, 8443}, std::move(*tls), proxy, std::make_shared<IdentityMemory>(), "test"};
  const Wake cancelled;
  return transport.exchange({"GET", "/tunnel/v1/health", ""}, soon(), cancelled);
}

/// What connecting to gw.invalid:8443 by this proxy comes to.
Error refusal(ProxyConnector& connector) {
  const Wake cancelled;
  const auto fd = connector.connect("gw.invalid", 8443, soon(), cancelled);
  REQUIRE_FALSE(fd);
  INFO(fd.error().to_string());
  return fd.error();
}

bool says(const Error& error, const std::string& piece) {
  INFO(error.to_string());
  CHECK(error.to_string().find(piece) != std::string::npos);
  return error.to_string().find(piece) != std::string::npos;
}

}  // namespace

TEST_CASE("Transport: a proxy is asked to connect to the gateway, whose name it resolves", "[cloud_api]") {
  const TestPki pki = TestPki::make();
  TestGateway gateway{{.credentials = pki.server({"gw.invalid", "2001:db8::7"})},
                      [](const SeenRequest&) { return http_reply(200, "{\"a\":1}"); }};
  const auto [host, shown] = GENERATE(table<std::string, std::string>(
      {{"gw.invalid", "gw.invalid:8443"}, {"2001:db8::7", "[2001:db8::7]:8443"}}));
  ConnectProxy proxy{gateway.port(), {kOpened}};
  const auto reply = ask_through(std::make_shared<ProxyConnector>(proxy.settings()), host, pki);
  if (!reply) FAIL(reply.error().to_string());
  CHECK(reply->status == 200);
  CHECK(reply->body == "{\"a\":1}");
  CHECK(proxy.requests().at(0).starts_with("CONNECT " + shown + " HTTP/1.1\r\n"));
  CHECK(gateway.requests().at(0).server_name == (host[0] == 'g' ? host : ""));
  CHECK(gateway.requests().at(0).text.find("\r\nHost: " + shown + "\r\n") != std::string::npos);
}

TEST_CASE("Transport: through a proxy a gateway is judged as strictly as without", "[cloud_api]") {
  const TestPki pki = TestPki::make();
  const TestPki other = TestPki::make();
  TestGateway gateway{{.credentials = other.server({"gw.invalid"})},
                      [](const SeenRequest&) { return http_reply(200, "{}"); }};
  ConnectProxy proxy{gateway.port(), {kOpened}};
  const auto reply = ask_through(std::make_shared<ProxyConnector>(proxy.settings()), "gw.invalid", pki);
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code() == Errc::TlsUntrusted);
}

TEST_CASE("Proxy: Basic and Digest are answered as they are offered, and remembered", "[cloud_api]") {
  const TestPki pki = TestPki::make();
  TestGateway gateway{{.credentials = pki.server({"gw.invalid"})},
                      [](const SeenRequest&) { return http_reply(200, "{}"); }};
  const bool digest = GENERATE(false, true);
  // Digest asks for a challenge of its own connection first.
  const std::string offer = demand(digest ? kBasic + kDigest : kBasic);
  ConnectProxy proxy{gateway.port(),
                     digest ? std::vector{offer, offer, kOpened} : std::vector{offer, kOpened}};
  ProxySettings settings = proxy.settings();
  settings.user = "tokyo";
  settings.password = "ses%41me @:/";
  settings.auto_allows_basic = true;
  const auto connector = std::make_shared<ProxyConnector>(settings);
  const auto reply = ask_through(connector, "gw.invalid", pki);
  if (!reply) FAIL(reply.error().to_string());
  CHECK(proxy.requests().front().find("Proxy-Authorization") == std::string::npos);
  const std::string last = proxy.requests().back();
  CAPTURE(last);
  if (digest) {
    CHECK(last.find("Proxy-Authorization: Digest username=\"tokyo\"") != std::string::npos);
  } else {
    CHECK(last.find("Proxy-Authorization: Basic dG9reW86c2VzJTQxbWUgQDov") != std::string::npos);
    const std::size_t before = proxy.requests().size();
    CHECK(ask_through(connector, "gw.invalid", pki));
    CHECK(proxy.requests().size() == before + 1);
  }
}

TEST_CASE("Proxy: 407 says what the proxy offers and what to set", "[cloud_api]") {
  ConnectProxy proxy{1, {demand(kBasic + kDigest)}};
  ProxySettings settings = proxy.settings();
  SECTION("nothing is set") {
    ProxyConnector connector{settings};
    const Error error = refusal(connector);
    CHECK(error.code() == Errc::ProxyUnauthorized);
    says(error, "offers Basic, Digest");
    says(error, "proxy.user");
  }
  SECTION("another method is set") {
    settings.user = "tokyo";
    settings.auth = ProxyAuth::Ntlm;
    ProxyConnector connector{settings};
    const Error error = refusal(connector);
    says(error, "and not ntlm");
    says(error, "proxy.auth");
  }
  SECTION("the password is wrong: it is named once and not tried again at once") {
    settings.user = "tokyo";
    settings.password = "geheim";
    settings.auth = ProxyAuth::Basic;
    ProxyConnector connector{settings};
    const Error error = refusal(connector);
    says(error, "refused the login of user 'tokyo' by basic");
    CHECK(error.to_string().find("geheim") == std::string::npos);
    const std::size_t before = proxy.requests().size();
    CHECK(refusal(connector).code() == Errc::ProxyUnauthorized);
    CHECK(proxy.requests().size() == before);
  }
}

TEST_CASE("Proxy: by itself a password does not go out in the clear", "[cloud_api]") {
  ConnectProxy proxy{1, {demand(kBasic)}};
  ProxySettings settings = proxy.settings();
  settings.user = "tokyo";
  ProxyConnector connector{settings};
  says(refusal(connector), "proxy.auth = \"basic\"");
  CHECK(proxy.requests().size() == 1);
}

TEST_CASE("Proxy: one that refuses is named, with what it said", "[cloud_api]") {
  const auto [answer, code, piece] = GENERATE(table<std::string, Errc, std::string>(
      {{"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", Errc::ProxyRefused, "answered 403"},
       {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", Errc::Unreachable, "answered 502"},
       {"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n", Errc::Unreachable,
        "could not reach gw.invalid:8443"},
       {"", Errc::Unreachable, "without an answer to CONNECT"},
       {"SSH-2.0-OpenSSH_9.2\r\n\r\n", Errc::Unreachable, "an HTTP proxy listens there"}}));
  ConnectProxy proxy{1, {answer}};
  ProxyConnector connector{proxy.settings()};
  const Wake cancelled;
  const auto fd = connector.connect("gw.invalid", 8443, std::chrono::steady_clock::now() + 5s, cancelled);
  REQUIRE_FALSE(fd);
  CAPTURE(fd.error().to_string());
  if (answer.starts_with("SSH")) {
    CHECK((fd.error().code() == Errc::Unreachable || fd.error().code() == Errc::TimedOut));
    return;
  }
  CHECK(fd.error().code() == code);
  says(fd.error(), piece);
}

TEST_CASE("Proxy: one that says nothing costs the deadline, and cancelling ends it at once", "[cloud_api]") {
  TestGateway silent{{.plain = true}, [](const SeenRequest&) {
                       std::this_thread::sleep_for(std::chrono::seconds{3});
                       return std::string{};
                     }};
  ProxySettings settings;
  settings.host = "127.0.0.1";
  settings.port = silent.port();
  ProxyConnector connector{settings};
  Wake cancelled;
  const auto late = connector.connect("gw.invalid", 1, std::chrono::steady_clock::now() + 200ms, cancelled);
  REQUIRE_FALSE(late);
  CHECK(late.error().code() == Errc::TimedOut);
  says(late.error(), "did not answer CONNECT in time");
  cancelled.signal();
  const auto stopped = connector.connect("gw.invalid", 1, soon(), cancelled);
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().code() == Errc::Cancelled);
}

TEST_CASE("Proxy: one that is not there is told apart from a gateway that is not", "[cloud_api]") {
  std::uint16_t free_port = 0;
  {
    free_port = TestGateway{{.plain = true}, [](const SeenRequest&) { return ""; }}.port();
  }
  ProxySettings settings;
  settings.host = "127.0.0.1";
  settings.port = free_port;
  settings.source = "https_proxy of the environment";
  ProxyConnector connector{settings};
  const Error error = refusal(connector);
  CHECK(error.code() == Errc::ConnectionRefused);
  says(error, "https_proxy");
}
