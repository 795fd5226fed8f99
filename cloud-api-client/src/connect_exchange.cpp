// libcurl gets sockets that are connected already, from the dialer that REST calls use: all addresses of the
// proxy's name, our deadline, our sentences. Logins can take several requests, and a proxy may close in
// between, so it may ask for a socket more than once.
#include "cloud-api-client/src/connect_exchange.hpp"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>

#include "cloud-api-client/src/dialer.hpp"

namespace culvert::cloud_api {

namespace {

constexpr std::size_t kMaxOffered = 16;

// CURL and CURLM are both `void`, so each handle has a deleter of its own.
struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

unsigned long curl_bits(ProxyAuth method) {
  switch (method) {
    case ProxyAuth::Basic:
      return CURLAUTH_BASIC;
    case ProxyAuth::Digest:
      return CURLAUTH_DIGEST;
    case ProxyAuth::Ntlm:
      return CURLAUTH_NTLM;
    case ProxyAuth::Negotiate:
      return CURLAUTH_NEGOTIATE;
    case ProxyAuth::Auto:
    case ProxyAuth::None:
      break;
  }
  return CURLAUTH_NONE;
}

bool names_header(std::string_view line, std::string_view name) {
  if (line.size() < name.size()) return false;
  return std::equal(name.begin(), name.end(), line.begin(),
                    [](char a, char b) { return (a | 0x20) == (b | 0x20); });
}

class Exchange {
 public:
  Exchange(const ProxySettings& proxy, ProxyAuth method, const GatewayUrl& gateway, Instant deadline,
           const Wake& cancelled)
      : proxy_(proxy), method_(method), gateway_(gateway), deadline_(deadline), cancelled_(cancelled) {}

  ConnectOutcome run();

 private:
  std::string proxy_url(CURL* easy) const;
  void configure(CURL* easy);
  CURLcode drive(CURLM* multi);

  static curl_socket_t open_socket(void* self, curlsocktype, curl_sockaddr*) {
    return static_cast<Exchange*>(self)->dial_proxy();
  }
  static int already_connected(void*, curl_socket_t, curlsocktype) { return CURL_SOCKOPT_ALREADY_CONNECTED; }
  static int close_socket(void* self, curl_socket_t fd) {
    // The socket that stands is ours now; curl only believes it is still its own.
    return fd == static_cast<Exchange*>(self)->taken_ ? 0 : ::close(fd);
  }
  static std::size_t take_header(char* text, std::size_t one, std::size_t size, void* self) {
    static_cast<Exchange*>(self)->note_header({text, one * size});
    return one * size;
  }
  static std::size_t drop_body(char*, std::size_t one, std::size_t size, void*) { return one * size; }

  curl_socket_t dial_proxy();
  void note_header(std::string_view line);

  const ProxySettings& proxy_;
  const ProxyAuth method_;
  const GatewayUrl& gateway_;
  const Instant deadline_;
  const Wake& cancelled_;
  ConnectOutcome outcome_;
  curl_socket_t taken_ = CURL_SOCKET_BAD;
  std::unique_ptr<curl_slist, ListDeleter> resolved_;
};

curl_socket_t Exchange::dial_proxy() {
  auto dialed = dial(proxy_.host, proxy_.port, deadline_, cancelled_);
  if (dialed) return dialed->release();
  outcome_.failure = std::move(dialed).error();
  return CURL_SOCKET_BAD;
}

void Exchange::note_header(std::string_view line) {
  constexpr std::string_view kOffer = "proxy-authenticate:";
  if (line.starts_with("HTTP/")) outcome_.offered.clear();  // Only the last answer counts.
  if (!names_header(line, kOffer)) return;
  line.remove_prefix(kOffer.size());
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  std::string scheme{line.substr(0, std::min(line.find_first_of(" ,\r\n"), std::size_t{32}))};
  const bool printable =
      std::all_of(scheme.begin(), scheme.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (scheme.empty() || !printable || outcome_.offered.size() >= kMaxOffered) return;
  if (std::find(outcome_.offered.begin(), outcome_.offered.end(), scheme) == outcome_.offered.end()) {
    outcome_.offered.push_back(std::move(scheme));
  }
}

/// The login stands in the URL: whether libcurl decodes %XX in its options for it depends on the version.
std::string Exchange::proxy_url(CURL* easy) const {
  const bool by_password = method_ != ProxyAuth::None && method_ != ProxyAuth::Negotiate;
  if (!by_password) return "http://" + proxy_.authority();
  const auto escaped = [easy](const std::string& text) {
    const std::unique_ptr<char, decltype(&curl_free)> made{
        curl_easy_escape(easy, text.data(), static_cast<int>(text.size())), &curl_free};
    return made ? std::string{made.get()} : std::string{};
  };
  return "http://" + escaped(proxy_.user) + ":" + escaped(proxy_.password) + "@" + proxy_.authority();
}

void Exchange::configure(CURL* easy) {
  const auto set = [easy](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_URL, ("http://" + gateway_.authority() + "/").c_str());
  set(CURLOPT_PROXY, proxy_url(easy).c_str());
  set(CURLOPT_NOPROXY, "");  // The choice is made: curl must not look into the environment.
  set(CURLOPT_PROTOCOLS_STR, "http");
  set(CURLOPT_HTTPPROXYTUNNEL, 1L);
  set(CURLOPT_CONNECT_ONLY, 1L);
  set(CURLOPT_USERAGENT, "culvert");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(std::max(1, poll_timeout_ms(deadline_))));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::max(1, poll_timeout_ms(deadline_))));
  set(CURLOPT_OPENSOCKETFUNCTION, &Exchange::open_socket);
  set(CURLOPT_OPENSOCKETDATA, this);
  set(CURLOPT_SOCKOPTFUNCTION, &Exchange::already_connected);
  set(CURLOPT_CLOSESOCKETFUNCTION, &Exchange::close_socket);
  set(CURLOPT_CLOSESOCKETDATA, this);
  set(CURLOPT_HEADERFUNCTION, &Exchange::take_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &Exchange::drop_body);
  // Kerberos asks for a ticket of HTTP/proxy's name, so curl has to know the name; but resolving is ours.
  if (proxy_.host.find(':') == std::string::npos) {
    const std::string entry = proxy_.host + ":" + std::to_string(proxy_.port) + ":127.0.0.1";
    resolved_.reset(curl_slist_append(nullptr, entry.c_str()));
    set(CURLOPT_RESOLVE, resolved_.get());
  }
  set(CURLOPT_PROXYAUTH, static_cast<long>(curl_bits(method_)));
  if (method_ == ProxyAuth::None) return;
  if (method_ != ProxyAuth::Negotiate) return;
  set(CURLOPT_PROXYUSERNAME, "");  // The empty name means: whoever our ticket says.
  set(CURLOPT_PROXYPASSWORD, "");
}

/// Until the one transfer is over, the time too, or somebody cancels.
CURLcode Exchange::drive(CURLM* multi) {
  for (;;) {
    int running = 0;
    if (curl_multi_perform(multi, &running) != CURLM_OK) return CURLE_FAILED_INIT;
    int left = 0;
    if (const CURLMsg* message = curl_multi_info_read(multi, &left)) return message->data.result;
    if (running == 0) return CURLE_FAILED_INIT;
    if (poll_timeout_ms(deadline_) == 0) return CURLE_OPERATION_TIMEDOUT;
    curl_waitfd wake{cancelled_.fd(), CURL_WAIT_POLLIN, 0};
    curl_multi_poll(multi, &wake, 1, poll_timeout_ms(deadline_), nullptr);
    if (cancelled_.signalled()) return CURLE_ABORTED_BY_CALLBACK;
  }
}

ConnectOutcome Exchange::run() {
  std::unique_ptr<CURLM, MultiDeleter> multi{curl_multi_init()};
  std::unique_ptr<CURL, EasyDeleter> easy{curl_easy_init()};
  if (!multi || !easy) {
    outcome_.failure = Error{Errc::InternalError, "libcurl cannot be set up"};
    return std::move(outcome_);
  }
  configure(easy.get());
  curl_multi_add_handle(multi.get(), easy.get());
  const CURLcode result = drive(multi.get());
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_HTTP_CONNECTCODE, &status);
  outcome_.status = static_cast<int>(status);
  if (result == CURLE_OK) {
    curl_easy_getinfo(easy.get(), CURLINFO_ACTIVESOCKET, &taken_);
    if (taken_ != CURL_SOCKET_BAD) outcome_.fd = UniqueFd{taken_};
  } else if (result == CURLE_OPERATION_TIMEDOUT) {
    if (!outcome_.failure) outcome_.failure = Error{Errc::TimedOut, "it did not answer CONNECT in time"};
  } else if (result == CURLE_ABORTED_BY_CALLBACK) {
    outcome_.failure = Error{Errc::Cancelled, "the call was cancelled"};
  }
  outcome_.said = curl_easy_strerror(result);
  curl_multi_remove_handle(multi.get(), easy.get());
  easy.reset();
  multi.reset();  // Here curl lets go of its connections, by close_socket().
  return std::move(outcome_);
}

}  // namespace

ConnectOutcome exchange_connect(const ProxySettings& proxy, ProxyAuth method, const GatewayUrl& gateway,
                                Instant deadline, const Wake& cancelled) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  return Exchange{proxy, method, gateway, deadline, cancelled}.run();
}

}  // namespace culvert::cloud_api
