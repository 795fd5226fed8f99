#include "firewall-vib/depot_connection.hpp"

#include <fmt/chrono.h>

#include <ctime>

namespace culvert::firewall {

namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

/// `Sat, 21 Nov 2026 10:00:00 GMT`, whatever the locale.
std::string http_date() {
  return fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(std::time(nullptr)));
}

OwnAddress address_of(const boost::asio::ip::tcp::socket& socket) {
  error_code failed;
  const auto local = socket.local_endpoint(failed);
  if (failed) return {};
  auto address = local.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6());
  return {address.to_string(), local.port()};
}

DepotAnswer broken_request() {
  DepotAnswer answer;
  answer.status = 400;
  answer.headers = {{"Content-Type", "text/plain; charset=utf-8"}};
  answer.content = std::make_shared<const std::string>("this is no request that the depot understands\n");
  answer.length = answer.content->size();
  return answer;
}

}  // namespace

DepotConnection::DepotConnection(boost::asio::ip::tcp::socket socket, Files files, Ended ended)
    : stream_(std::move(socket)),
      files_(std::move(files)),
      ended_(std::move(ended)),
      own_(address_of(stream_.socket())) {}

void DepotConnection::close() {
  error_code ignored;
  stream_.socket().shutdown(boost::asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.close();
}

void DepotConnection::read() {
  parser_.emplace();
  parser_->header_limit(kMaxHeader);
  stream_.expires_after(kRequestTime);
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](error_code failure, std::size_t) { self->answer(failure); });
}

void DepotConnection::answer(error_code failure) {
  // The socket itself failed, or the client is done: there is nobody to tell.
  if (failure == http::error::end_of_stream || failure == boost::beast::error::timeout ||
      (failure && failure.category() == boost::system::system_category()))
    return written(failure, false);
  // A body that nobody asked for, a header that is too long, no HTTP at all: said once, then closed.
  if (failure) return write(broken_request(), 11, false);
  const auto& request = parser_->get();
  DepotRequest asked;
  asked.method = view(request.method_string());
  asked.target = view(request.target());
  asked.host = view(request[http::field::host]);
  asked.range = view(request[http::field::range]);
  asked.if_range = view(request[http::field::if_range]);
  asked.if_none_match = view(request[http::field::if_none_match]);
  asked.http11 = request.version() >= 11;
  write(answer_depot(*files_(), asked, own_, in_tunnel_), request.version(), request.keep_alive());
}

void DepotConnection::write(DepotAnswer answer, unsigned version, bool keep) {
  keep = keep || answer.tunnel;
  content_ = std::move(answer.content);
  response_.emplace(static_cast<http::status>(answer.status), version == 10 ? 10u : 11u);
  for (const auto& [name, value] : answer.headers) response_->set(name, value);
  if (answer.tunnel) {
    in_tunnel_ = true;  // No length and no encoding: a client takes either for an error (curl since 7.54).
    response_->reason("Connection established");
  } else {
    response_->set(http::field::server, "culvert-agent");
    response_->set(http::field::date, http_date());
    response_->keep_alive(keep);
    if (answer.status != 304) response_->content_length(answer.length);
    if (answer.with_body)
      response_->body() = boost::beast::span<const char>{content_->data() + answer.first, answer.length};
  }
  stream_.expires_after(kAnswerTime);
  if (answer.tunnel || !answer.with_body) return write_head_alone(keep);
  http::async_write(stream_, *response_, [self = shared_from_this(), keep](error_code failure, std::size_t) {
    self->written(failure, keep);
  });
}

void DepotConnection::write_head_alone(bool keep) {
  serializer_.emplace(*response_);
  http::async_write_header(
      stream_, *serializer_,
      [self = shared_from_this(), keep](error_code failure, std::size_t) { self->written(failure, keep); });
}

void DepotConnection::written(error_code failure, bool keep) {
  serializer_.reset();
  response_.reset();
  content_.reset();
  if (!failure && keep) return read();
  close();
  ended_(shared_from_this());
}

}  // namespace culvert::firewall
