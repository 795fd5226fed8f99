#include "tunnel-core/net/tls_transport.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tunnel-core/base/assert.hpp"

namespace culvert {
namespace {

/// Less than this at once is no bulk.
constexpr std::size_t kLittle = 4096;

}  // namespace

struct TlsTransportBio {
  static TlsTransport& of(BIO* bio) { return *static_cast<TlsTransport*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* out, std::size_t size, std::size_t* taken) {
    BIO_clear_retry_flags(bio);
    bool would_block = false;
    const int n = of(bio).read(reinterpret_cast<std::byte*>(out), size, would_block);
    if (would_block) BIO_set_retry_read(bio);
    *taken = static_cast<std::size_t>(std::max(n, 0));
    return n > 0 ? 1 : 0;
  }

  static int write(BIO* bio, const char* bytes, std::size_t size, std::size_t* taken) {
    BIO_clear_retry_flags(bio);
    of(bio).append(reinterpret_cast<const std::byte*>(bytes), size);
    *taken = size;
    return 1;
  }

  static long control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;  // Flushing is the caller's, once for many records.
  }

  static int create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = make();
    return made;
  }

  static const BIO_METHOD* make() {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "culvert transport");
    TUNNEL_ASSERT(made != nullptr);
    BIO_meth_set_read_ex(made, read);
    BIO_meth_set_write_ex(made, write);
    BIO_meth_set_ctrl(made, control);
    BIO_meth_set_create(made, create);
    return made;
  }
};

BIO* TlsTransport::make_bio() {
  BIO* bio = BIO_new(TlsTransportBio::method());
  TUNNEL_ASSERT(bio != nullptr);
  BIO_set_data(bio, this);
  return bio;
}

/// Bytes for OpenSSL: from the buffer, or from the kernel straight into OpenSSL's memory when it wants more
/// than the buffer would hold. 0: end of stream, would block, or failed.
int TlsTransport::read(std::byte* out, std::size_t size, bool& would_block) {
  if (refused_) return -1;
  if (input_head_ == input_tail_) {
    if (size >= read_ahead_) return static_cast<int>(receive(out, size, would_block));
    if (input_capacity_ != read_ahead_) {
      input_ = std::make_unique_for_overwrite<std::byte[]>(read_ahead_);
      input_capacity_ = read_ahead_;
    }
    input_head_ = 0;
    input_tail_ = receive(input_.get(), input_capacity_, would_block);
  }
  const std::size_t n = std::min(size, input_tail_ - input_head_);
  if (n != 0) std::memcpy(out, input_.get() + input_head_, n);
  input_head_ += n;
  return static_cast<int>(n);
}

std::size_t TlsTransport::receive(std::byte* out, std::size_t size, bool& would_block) {
  ssize_t n = 0;
  do {
    n = ::recv(fd_, out, size, MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    note_first_bytes(out, static_cast<std::size_t>(n));
    bytes_received_ += static_cast<std::uint64_t>(n);
    return static_cast<std::size_t>(n);
  }
  if (n == 0) {
    end_of_stream_ = true;
  } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
    would_block = true;
  } else {
    read_errno_ = errno;
  }
  return 0;
}

void TlsTransport::note_first_bytes(const std::byte* bytes, std::size_t size) {
  const std::size_t n = std::min(size, first_bytes_.size() - first_bytes_size_);
  if (n == 0) return;
  std::memcpy(first_bytes_.data() + first_bytes_size_, bytes, n);
  first_bytes_size_ += n;
}

FlushOutcome TlsTransport::flush() {
  if (write_errno_ != 0) return FlushOutcome::Failed;
  if (unsent() == 0) return FlushOutcome::Done;
  ssize_t n = 0;
  do {
    n = ::send(fd_, output_.get() + output_head_, unsent(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return FlushOutcome::WouldBlock;
    write_errno_ = errno;
    return FlushOutcome::Failed;
  }
  bytes_sent_ += static_cast<std::uint64_t>(n);
  output_head_ += static_cast<std::size_t>(n);
  if (unsent() != 0) return FlushOutcome::WouldBlock;  // A short send means that the kernel is full.
  output_head_ = output_tail_ = 0;
  return FlushOutcome::Done;
}

/// What is there moves to the front: at most one record that has not come whole.
ReceiveOutcome TlsTransport::receive_more() {
  if (refused_) return ReceiveOutcome::Failed;
  const std::size_t there = unread();
  if (input_capacity_ < read_ahead_) {
    auto larger = std::make_unique_for_overwrite<std::byte[]>(read_ahead_);
    if (there != 0) std::memcpy(larger.get(), input_.get() + input_head_, there);
    input_ = std::move(larger);
    input_capacity_ = read_ahead_;
  } else if (input_head_ != 0 && there != 0) {
    std::memmove(input_.get(), input_.get() + input_head_, there);
  }
  input_head_ = 0;
  input_tail_ = there;
  TUNNEL_ASSERT(there < input_capacity_);
  bool would_block = false;
  const std::size_t n = receive(input_.get() + there, input_capacity_ - there, would_block);
  input_tail_ += n;
  took_little_ = n != 0 && n < kLittle && n < input_capacity_ - there;
  if (n != 0) return ReceiveOutcome::Received;
  return would_block ? ReceiveOutcome::WouldBlock : ReceiveOutcome::Failed;
}

std::byte* TlsTransport::prepare_output(std::size_t size) {
  if (output_capacity_ - output_tail_ < size) make_room(size);
  return output_.get() + output_tail_;
}

void TlsTransport::append(const std::byte* bytes, std::size_t size) {
  std::memcpy(prepare_output(size), bytes, size);
  commit_output(size);
}

void TlsTransport::make_room(std::size_t size) {
  const std::size_t waiting = unsent();
  if (output_capacity_ >= waiting + size) {
    std::memmove(output_.get(), output_.get() + output_head_, waiting);
  } else {
    constexpr std::size_t kSmallest = 4096;
    const std::size_t capacity = std::max({kSmallest, 2 * output_capacity_, waiting + size});
    auto larger = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (waiting != 0) std::memcpy(larger.get(), output_.get() + output_head_, waiting);
    output_ = std::move(larger);
    output_capacity_ = capacity;
  }
  output_head_ = 0;
  output_tail_ = waiting;
}

void TlsTransport::release_idle_memory() {
  if (unread() == 0) {
    input_.reset();
    input_capacity_ = input_head_ = input_tail_ = 0;
  }
  if (unsent() == 0) {
    output_.reset();
    output_capacity_ = output_head_ = output_tail_ = 0;
  }
}

}  // namespace culvert
