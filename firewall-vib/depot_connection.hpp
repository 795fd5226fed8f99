// One connection of a client to the depot: request, answer, next request. On the depot's thread.
#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "firewall-vib/depot_answer.hpp"

namespace culvert::firewall {

class DepotConnection : public std::enable_shared_from_this<DepotConnection> {
 public:
  using Files = std::function<std::shared_ptr<const DepotFiles>()>;
  using Ended = std::function<void(const std::shared_ptr<DepotConnection>&)>;

  static constexpr std::uint32_t kMaxHeader = 8192;
  static constexpr std::chrono::seconds kRequestTime{15};  ///< For one whole request, and between two.
  static constexpr std::chrono::seconds kAnswerTime{60};   ///< For one whole answer; the largest is some KiB.

  /// @param files  gives the depot's files as they are now; never null.
  /// @param ended  called once, when the connection is over.
  DepotConnection(boost::asio::ip::tcp::socket socket, Files files, Ended ended);

  void start() { read(); }
  void close();

 private:
  using Response = boost::beast::http::response<boost::beast::http::span_body<const char>>;
  using Parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;

  void read();
  void answer(boost::beast::error_code failure);
  void write(DepotAnswer answer, unsigned version, bool keep);
  void write_head_alone(bool keep);
  void written(boost::beast::error_code failure, bool keep);

  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_{2 * kMaxHeader};
  Files files_;
  Ended ended_;
  OwnAddress own_;
  std::optional<Parser> parser_;
  std::optional<Response> response_;
  std::optional<boost::beast::http::response_serializer<boost::beast::http::span_body<const char>>>
      serializer_;
  std::shared_ptr<const std::string> content_;  ///< What response_ points into.
  bool in_tunnel_ = false;
};

}  // namespace culvert::firewall
