#include "cloud-gateway/edge/waiting_room.hpp"

namespace culvert {
namespace {

using boost::system::error_code;
constexpr auto kSweepEvery = std::chrono::seconds{1};

}  // namespace

WaitingRoom::WaitingRoom(boost::asio::io_context& io, std::size_t most, Duration patience, Spoke spoke)
    : most_(most),
      patience_(std::chrono::duration_cast<std::chrono::steady_clock::duration>(patience)),
      spoke_(std::move(spoke)),
      timer_(io) {
  sweep();
}

void WaitingRoom::enter(Socket socket) {
  if (closed_) return;
  if (guests_.size() >= most_) {
    error_code ignored;
    guests_.front()->socket.close(ignored);
    guests_.pop_front();
  }
  guests_.push_back(
      std::make_shared<Guest>(Guest{std::move(socket), std::chrono::steady_clock::now() + patience_}));
  const auto at = std::prev(guests_.end());
  const auto guest = *at;
  guest->socket.async_wait(boost::asio::socket_base::wait_read, [this, at, guest](error_code error) {
    if (error || closed_ || !guest->socket.is_open()) return;  // Whoever closed it took it off the list.
    guests_.erase(at);
    spoke_(std::move(guest->socket));
  });
}

void WaitingRoom::sweep() {
  const auto now = std::chrono::steady_clock::now();
  while (!guests_.empty() && guests_.front()->until <= now) {
    error_code ignored;
    guests_.front()->socket.close(ignored);
    guests_.pop_front();
  }
  timer_.expires_after(kSweepEvery);
  timer_.async_wait([this](error_code error) {
    if (!error && !closed_) sweep();
  });
}

void WaitingRoom::close() {
  closed_ = true;
  timer_.cancel();
  error_code ignored;
  for (const auto& guest : guests_) guest->socket.close(ignored);
  guests_.clear();
}

}  // namespace culvert
