#include "tests/unit/cloud_api/support/test_gateway.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <stdexcept>

namespace culvert::test {

namespace {

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

TestPki::Credentials credentials(const certs::Authority& authority, const certs::Certificate& leaf,
                                 const certs::PrivateKey& key) {
  const auto chain = authority.chain_below(leaf);
  return {certs::chain_to_pem(chain), std::string{key.to_pem().view()}, leaf.to_pem()};
}

// Every protocol is accepted, so that what the client offered can be seen.
int choose_alpn(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned,
                void*) {
  *size = in[0];
  *out = in + 1;
  return SSL_TLSEXT_ERR_OK;
}

void load_credentials(SSL_CTX* context, const TestPki::Credentials& credentials) {
  const auto chain = must(certs::chain_from_pem(credentials.chain_pem));
  const auto key = must(certs::PrivateKey::from_pem(credentials.key_pem));
  SSL_CTX_use_certificate(context, chain.front().native());
  for (std::size_t i = 1; i < chain.size(); ++i) SSL_CTX_add1_chain_cert(context, chain[i].native());
  SSL_CTX_use_PrivateKey(context, key.native());
}

bool complete(const std::string& text) {
  const std::size_t head = text.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  const std::size_t length = text.find("Content-Length:");
  if (length == std::string::npos || length > head) return true;
  return text.size() >= head + 4 + std::stoul(text.substr(length + 15));
}

}  // namespace

TestPki TestPki::make() {
  const auto now = certs::utc_now() - certs::days(30);
  auto root = must(certs::Authority::create_root("test root", now));
  auto servers = must(certs::Authority::create_issuing(root, certs::Purpose::Server, now));
  auto sites = must(certs::Authority::create_issuing(root, certs::Purpose::Sites, now));
  return {std::move(root), std::move(servers), std::move(sites)};
}

TestPki::Credentials TestPki::server(std::vector<std::string> names, std::chrono::seconds begins_ago,
                                     std::chrono::seconds lifetime) const {
  const auto key = must(certs::PrivateKey::generate());
  const auto leaf =
      must(servers.issue_server(names, key.public_key(), certs::utc_now() - begins_ago, lifetime));
  return credentials(servers, leaf, key);
}

TestPki::Credentials TestPki::site(const std::string& org, const std::string& name) const {
  const auto key = must(certs::PrivateKey::generate());
  const auto leaf = must(sites.issue_site({org, name}, key.public_key(), certs::utc_now()));
  return credentials(sites, leaf, key);
}

TestGateway::TestGateway(Options options, Handler handler)
    : options_(std::move(options)), handler_(std::move(handler)), context_(SSL_CTX_new(TLS_server_method())) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to clients that have gone.
  if (!options_.plain) {
    load_credentials(context_, options_.credentials);
    if (options_.max_tls_version != 0) SSL_CTX_set_max_proto_version(context_, options_.max_tls_version);
    SSL_CTX_set_alpn_select_cb(context_, choose_alpn, nullptr);
    if (!options_.require_client_issuer_pem.empty()) {
      const auto issuer = must(certs::Certificate::from_pem(options_.require_client_issuer_pem));
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), issuer.native());
      SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
  }
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (options_.ipv6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    size = sizeof v6;
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size = sizeof v4;
  }
  listener_ = ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0) {
    throw std::runtime_error("the test gateway cannot listen");
  }
  size = sizeof address;
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(options_.ipv6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                              : reinterpret_cast<sockaddr_in&>(address).sin_port);
  thread_ = std::thread([this] { run(); });
}

TestGateway::~TestGateway() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  ::close(listener_);
  SSL_CTX_free(context_);
}

std::string TestGateway::url(const std::string& host) const {
  return "https://" + host + ":" + std::to_string(port_);
}

std::vector<SeenRequest> TestGateway::requests() const {
  const std::lock_guard lock{mutex_};
  return requests_;
}

bool TestGateway::wait_for_requests(std::size_t count) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (requests().size() < count) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return true;
}

void TestGateway::run() {
  while (!stopping_) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    ++connections_;
    const timeval patience{10, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    serve(fd);
    ::close(fd);
  }
}

void TestGateway::serve(int fd) {
  if (options_.plain) {
    char buffer[512];
    [[maybe_unused]] const auto ignored = ::recv(fd, buffer, sizeof buffer, 0);
    const std::string reply = handler_({});
    ::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL);
    return;
  }
  SSL* ssl = SSL_new(context_);
  SSL_set_fd(ssl, fd);
  if (SSL_accept(ssl) == 1) {
    converse(ssl, fd);
  } else {
    // What the client has sent already would turn our alert into a reset.
    ::shutdown(fd, SHUT_WR);
    char buffer[512];
    while (::recv(fd, buffer, sizeof buffer, 0) > 0) {
    }
  }
  SSL_free(ssl);
}

void TestGateway::converse(SSL* ssl, int fd) {
  SeenRequest seen;
  const unsigned char* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &alpn_size);
  if (alpn_size > 0) seen.alpn.assign(reinterpret_cast<const char*>(alpn), alpn_size);
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) seen.server_name = name;
  seen.client_certificate = SSL_get0_peer_certificate(ssl) != nullptr;
  char buffer[4096];
  while (!complete(seen.text)) {
    const int n = SSL_read(ssl, buffer, sizeof buffer);
    if (n <= 0) return;
    seen.text.append(buffer, static_cast<std::size_t>(n));
  }
  {
    const std::lock_guard lock{mutex_};
    requests_.push_back(seen);
  }
  const std::string reply = handler_(seen);
  if (reply == kNeverAnswer) {
    pollfd entry{fd, POLLIN, 0};
    while (!stopping_ && ::poll(&entry, 1, 10) == 0) {
    }
    return;
  }
  for (std::size_t sent = 0; sent < reply.size();) {
    const int n = SSL_write(ssl, reply.data() + sent,
                            static_cast<int>(std::min<std::size_t>(reply.size() - sent, 16384)));
    if (n <= 0) return;
    sent += static_cast<std::size_t>(n);
  }
  if (!reply.empty()) SSL_shutdown(ssl);
}

std::string http_reply(int status, const std::string& body, const std::string& extra_headers) {
  return "HTTP/1.1 " + std::to_string(status) +
         " Scripted\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + extra_headers + "\r\n" + body;
}

}  // namespace culvert::test
