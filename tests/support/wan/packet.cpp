#include "tests/support/wan/packet.hpp"

#include <netinet/in.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace culvert::wan {
namespace {

/// What stands before each packet on a TUN device with IFF_VNET_HDR; linux/virtio_net.h is no C++.
struct VirtioHeader {
  std::uint8_t flags = 0;
  std::uint8_t segment_type = 0;
  std::uint16_t head_size = 0;
  std::uint16_t segment_size = 0;
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
};
static_assert(sizeof(VirtioHeader) == 10);
constexpr std::uint8_t kNeedsChecksum = 1;
constexpr std::uint8_t kNoSegments = 0;
constexpr std::uint8_t kTcp4Segments = 1;

constexpr std::size_t kIpLength = 2;
constexpr std::size_t kIpId = 4;
constexpr std::size_t kIpProtocol = 9;
constexpr std::size_t kIpChecksum = 10;
constexpr std::size_t kIpSource = 12;
constexpr std::size_t kIpDestination = 16;
constexpr std::size_t kTcpSequence = 4;
constexpr std::size_t kTcpAcknowledged = 8;
constexpr std::size_t kTcpOffset = 12;
constexpr std::size_t kTcpFlags = 13;
constexpr std::size_t kTcpChecksum = 16;
constexpr std::size_t kTcpSmallest = 20;
constexpr std::size_t kIpSmallest = 20;
/// A joined run stays below 64 KiB with its headers.
constexpr std::size_t kLongestRun = 44;

std::uint16_t load16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

std::uint32_t load32(const std::uint8_t* at) {
  return std::uint32_t{load16(at)} << 16 | load16(at + 2);
}

void store16(std::uint8_t* at, std::uint32_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}

void store32(std::uint8_t* at, std::uint32_t value) {
  store16(at, value >> 16);
  store16(at + 2, value & 0xffff);
}

std::uint64_t sum16(const std::uint8_t* at, std::size_t size, std::uint64_t sum = 0) {
  for (; size > 1; at += 2, size -= 2) sum += load16(at);
  return size == 1 ? sum + (std::uint64_t{*at} << 8) : sum;
}

std::uint16_t fold(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

std::uint64_t pseudo_header_sum(const std::uint8_t* ip, std::size_t tcp_bytes) {
  return sum16(ip + kIpSource, 8) + IPPROTO_TCP + tcp_bytes;
}

void seal_ip(std::uint8_t* ip, std::size_t ip_size, std::size_t total) {
  store16(ip + kIpLength, static_cast<std::uint32_t>(total));
  store16(ip + kIpChecksum, 0);
  store16(ip + kIpChecksum, static_cast<std::uint16_t>(~fold(sum16(ip, ip_size))));
}

/// RFC 1624: a checksum after one 16-bit word changed.
void adjust_checksum(std::uint8_t* checksum, std::uint16_t before, std::uint16_t after) {
  const std::uint64_t sum = std::uint64_t{static_cast<std::uint16_t>(~load16(checksum))} +
                            static_cast<std::uint16_t>(~before) + after;
  store16(checksum, static_cast<std::uint16_t>(~fold(sum)));
}

/// Header sizes of an IPv4 packet of `size` bytes; false when they do not fit.
bool measure(Packet& packet, const std::uint8_t* ip, std::size_t size) {
  if (size < kIpSmallest || ip[0] >> 4 != 4) return false;
  packet.ip_size = static_cast<std::uint8_t>((ip[0] & 0x0f) * 4);
  packet.tcp_size = 0;
  if (packet.ip_size < kIpSmallest || packet.ip_size > size) return false;
  const bool whole = (load16(ip + 6) & 0x3fff) == 0;  // Neither an offset nor more fragments.
  if (ip[kIpProtocol] != IPPROTO_TCP || !whole || size < packet.ip_size + kTcpSmallest) return true;
  packet.tcp_size = static_cast<std::uint8_t>((ip[packet.ip_size + kTcpOffset] >> 4) * 4);
  return packet.tcp_size >= kTcpSmallest && packet.head_size() <= size;
}

Packet* fresh(PacketPool& pool, const Packet& like) {
  Packet* packet = pool.take();
  packet->ip_size = like.ip_size;
  packet->tcp_size = like.tcp_size;
  packet->flow = 0;
  packet->spared = false;
  return packet;
}

/// Whether `next` may stand behind `last` in one large segment that began with `first`.
bool continues(const Packet& first, const Packet& last, const Packet& next) {
  constexpr std::uint8_t kMayDiffer = kPsh;
  if (!next.is_tcp() || !next.partial_checksum || next.ip_size != first.ip_size ||
      next.ip_size != kIpSmallest || next.tcp_size != first.tcp_size || next.payload_size() == 0) {
    return false;
  }
  if (last.payload_size() != first.payload_size() || next.payload_size() > first.payload_size()) return false;
  if ((last.flags() & kPsh) != 0 || (first.flags() | kMayDiffer) != (next.flags() | kMayDiffer)) return false;
  const std::uint8_t* a = first.data;
  const std::uint8_t* b = next.data;
  const std::size_t tcp = kIpSmallest;
  return a[1] == b[1] && std::memcmp(a + kIpSource, b + kIpSource, 8 + 4) == 0 &&  // Addresses and ports.
         next.sequence() == last.sequence_end() &&
         std::memcmp(a + tcp + kTcpAcknowledged, b + tcp + kTcpAcknowledged, 4) == 0 &&
         std::memcmp(a + tcp + 14, b + tcp + 14, 2) == 0 &&  // Window.
         std::memcmp(a + tcp + kTcpSmallest, b + tcp + kTcpSmallest, first.tcp_size - kTcpSmallest) == 0;
}

}  // namespace

std::uint32_t Packet::source() const {
  return load32(data + kIpSource);
}

std::uint32_t Packet::destination() const {
  return load32(data + kIpDestination);
}

std::uint16_t Packet::port(bool destination) const {
  return load16(data + ip_size + (destination ? 2 : 0));
}

std::uint32_t Packet::sequence() const {
  return load32(data + ip_size + kTcpSequence);
}

std::uint32_t Packet::acknowledged() const {
  return load32(data + ip_size + kTcpAcknowledged);
}

std::uint8_t Packet::flags() const {
  return data[ip_size + kTcpFlags];
}

std::uint32_t Packet::sequence_end() const {
  return sequence() + static_cast<std::uint32_t>(payload_size()) + ((flags() & kSyn) != 0 ? 1 : 0) +
         ((flags() & kFin) != 0 ? 1 : 0);
}

void Packet::change_port(bool destination, std::uint16_t port) {
  std::uint8_t* at = data + ip_size + (destination ? 2 : 0);
  // A partial checksum covers addresses and length alone.
  if (!partial_checksum) adjust_checksum(data + ip_size + kTcpChecksum, load16(at), port);
  store16(at, port);
}

void Packet::truncate_with_fin(std::size_t payload) {
  size = static_cast<std::uint16_t>(head_size() + payload);
  data[ip_size + kTcpFlags] |= kFin;
  seal();
}

void Packet::seal() {
  seal_ip(data, ip_size, size);
  std::uint8_t* checksum = data + ip_size + kTcpChecksum;
  store16(checksum, 0);
  const std::uint64_t pseudo = pseudo_header_sum(data, size - ip_size);
  store16(checksum, partial_checksum
                        ? fold(pseudo)
                        : static_cast<std::uint16_t>(~fold(sum16(data + ip_size, size - ip_size, pseudo))));
}

PacketPool::~PacketPool() {
  for (Packet* packet : free_) delete packet;
}

Packet* PacketPool::take() {
  if (free_.empty()) return new Packet;
  Packet* packet = free_.back();
  free_.pop_back();
  return packet;
}

bool split(Bytes read, PacketPool& pool, std::vector<Packet*>& out) {
  VirtioHeader virtio{};
  if (read.size() < sizeof virtio) return false;
  std::memcpy(&virtio, read.data(), sizeof virtio);
  const Bytes all = read.subspan(sizeof virtio);
  Packet shape;
  if (!measure(shape, all.data(), all.size())) return false;
  shape.partial_checksum = (virtio.flags & kNeedsChecksum) != 0;
  if (virtio.segment_type == kNoSegments) {
    if (all.size() > kMtu) return false;
    Packet* packet = fresh(pool, shape);
    packet->partial_checksum = shape.partial_checksum;
    packet->size = static_cast<std::uint16_t>(all.size());
    std::memcpy(packet->data, all.data(), all.size());
    out.push_back(packet);
    return true;
  }
  const std::size_t head = shape.head_size();
  const std::size_t step = virtio.segment_size;
  if (!shape.is_tcp() || step == 0 || head + step > kMtu) return false;
  const std::uint32_t sequence = load32(all.data() + shape.ip_size + kTcpSequence);
  const std::uint16_t id = load16(all.data() + kIpId);
  for (std::size_t at = head; at < all.size(); at += step) {
    const std::size_t payload = std::min(step, all.size() - at);
    Packet* packet = fresh(pool, shape);
    packet->partial_checksum = true;
    packet->size = static_cast<std::uint16_t>(head + payload);
    std::memcpy(packet->data, all.data(), head);
    std::memcpy(packet->data + head, all.data() + at, payload);
    const std::size_t number = (at - head) / step;
    store16(packet->data + kIpId, static_cast<std::uint16_t>(id + number));
    store32(packet->data + shape.ip_size + kTcpSequence, static_cast<std::uint32_t>(sequence + (at - head)));
    if (at + payload < all.size()) {
      packet->data[shape.ip_size + kTcpFlags] &= static_cast<std::uint8_t>(~(kFin | kPsh));
    }
    packet->seal();
    out.push_back(packet);
  }
  return true;
}

Packet* make_reset(PacketPool& pool, std::uint32_t from, std::uint16_t from_port, std::uint32_t to,
                   std::uint16_t to_port, std::uint32_t sequence) {
  Packet* packet = pool.take();
  packet->flow = 0;
  packet->spared = true;
  packet->partial_checksum = false;
  packet->ip_size = kIpSmallest;
  packet->tcp_size = kTcpSmallest;
  packet->size = kIpSmallest + kTcpSmallest;
  std::memset(packet->data, 0, packet->size);
  packet->data[0] = 0x45;
  packet->data[8] = 64;  // Time to live.
  packet->data[kIpProtocol] = IPPROTO_TCP;
  store32(packet->data + kIpSource, from);
  store32(packet->data + kIpDestination, to);
  std::uint8_t* tcp = packet->data + kIpSmallest;
  store16(tcp, from_port);
  store16(tcp + 2, to_port);
  store32(tcp + kTcpSequence, sequence);
  tcp[kTcpOffset] = (kTcpSmallest / 4) << 4;
  tcp[kTcpFlags] = kRst;
  packet->seal();
  return packet;
}

std::size_t joinable(std::span<Packet* const> packets) {
  if (packets.empty()) return 0;
  const Packet& first = *packets.front();
  if (!first.is_tcp() || !first.partial_checksum || first.payload_size() == 0) return 1;
  if ((first.flags() & ~kPsh) != kAck) return 1;
  std::size_t n = 1;
  while (n < packets.size() && n < kLongestRun && continues(first, *packets[n - 1], *packets[n])) ++n;
  return n;
}

bool write_run(int tun, std::span<Packet* const> run) {
  Packet& first = *run.front();
  VirtioHeader virtio{};
  std::array<iovec, kLongestRun + 1> parts;
  parts[0] = {&virtio, sizeof virtio};
  std::size_t payload = 0;
  for (std::size_t i = 0; i < run.size(); ++i) {
    const std::size_t from = i == 0 ? 0 : run[i]->head_size();
    parts[i + 1] = {run[i]->data + from, run[i]->size - from};
    payload += run[i]->payload_size();
  }
  if (first.is_tcp() && first.partial_checksum) {
    virtio.flags = kNeedsChecksum;
    virtio.checksum_start = first.ip_size;
    virtio.checksum_offset = kTcpChecksum;
  }
  if (run.size() > 1) {
    virtio.segment_type = kTcp4Segments;
    virtio.segment_size = static_cast<std::uint16_t>(first.payload_size());
    virtio.head_size = static_cast<std::uint16_t>(first.head_size());
    if ((run.back()->flags() & kPsh) != 0) first.data[first.ip_size + kTcpFlags] |= kPsh;
    const std::size_t total = first.head_size() + payload;
    seal_ip(first.data, first.ip_size, total);
    store16(first.data + first.ip_size + kTcpChecksum,
            fold(pseudo_header_sum(first.data, total - first.ip_size)));
  }
  return ::writev(tun, parts.data(), static_cast<int>(run.size() + 1)) > 0;
}

}  // namespace culvert::wan
