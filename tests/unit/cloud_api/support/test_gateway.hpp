// A small real HTTPS server on a free loopback port, whose every answer is scripted by the test.
#pragma once

#include <openssl/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "certs/authority.hpp"

namespace culvert::test {

/// A root, its issuing authorities, and what a test wants of them. Made at run time.
struct TestPki {
  certs::Authority root;
  certs::Authority servers;
  certs::Authority sites;

  static TestPki make();
  struct Credentials {
    std::string chain_pem;
    std::string key_pem;
    std::string leaf_pem;
  };
  /// A server certificate for these names that began `begins_ago` and lasts `lifetime`.
  Credentials server(std::vector<std::string> names, std::chrono::seconds begins_ago = {},
                     std::chrono::seconds lifetime = std::chrono::hours{24}) const;
  Credentials site(const std::string& org, const std::string& name) const;
};

/// What the server saw of one request.
struct SeenRequest {
  std::string text;  ///< Head and body.
  std::string alpn;
  std::string server_name;
  bool client_certificate = false;
  std::string method() const { return text.substr(0, text.find(' ')); }
  std::string body() const { return text.substr(text.find("\r\n\r\n") + 4); }
};

class TestGateway {
 public:
  /// Raw bytes to send back. Empty: close without a word. kNeverAnswer: stay silent until the client goes.
  using Handler = std::function<std::string(const SeenRequest&)>;
  inline static const std::string kNeverAnswer = "\x01never";

  struct Options {
    TestPki::Credentials credentials = {};
    std::string require_client_issuer_pem = {};  ///< Not empty: clients must have a certificate of this root.
    bool plain = false;                          ///< No TLS at all.
    bool ipv6 = false;                           ///< On ::1 instead of 127.0.0.1.
    int max_tls_version = 0;                     ///< 0: no limit.
  };
  TestGateway(Options options, Handler handler);
  TestGateway(const TestGateway&) = delete;
  TestGateway& operator=(const TestGateway&) = delete;
  ~TestGateway();

  std::uint16_t port() const { return port_; }
  std::string url(const std::string& host = "localhost") const;
  std::vector<SeenRequest> requests() const;
  int connections() const { return connections_; }
  /// True once that many requests have arrived; false when they have not within 10 s.
  bool wait_for_requests(std::size_t count) const;

 private:
  void run();
  void serve(int fd);
  void converse(SSL* ssl, int fd);

  Options options_;
  Handler handler_;
  SSL_CTX* context_ = nullptr;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> connections_ = 0;
  mutable std::mutex mutex_;
  std::vector<SeenRequest> requests_;
  std::thread thread_;
};

/// A complete HTTP reply with that status and JSON body.
std::string http_reply(int status, const std::string& body, const std::string& extra_headers = {});

}  // namespace culvert::test
