// One IP packet of at most 1500 bytes, and the two ways between packets and the large segments that the
// kernel hands over and takes. Loss, queue and delay act on packets alone; only system calls are saved by
// large segments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace culvert::wan {

inline constexpr std::size_t kMtu = 1500;
/// What a TUN device may hand over or take in one call: its own header and 64 KiB.
inline constexpr std::size_t kLargest = 65536 + 64;

using Bytes = std::span<const std::uint8_t>;

enum TcpFlag : std::uint8_t { kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPsh = 0x08, kAck = 0x10 };

struct Packet {
  std::int64_t due_ns = 0;    ///< When it reaches the other end.
  std::uint64_t flow = 0;     ///< Number in the flow table; 0 when it is not TCP.
  std::uint16_t size = 0;     ///< Of `data`, IP header included.
  std::uint8_t ip_size = 0;   ///< Of the IP header.
  std::uint8_t tcp_size = 0;  ///< Of the TCP header; 0 when it is not TCP over IPv4.
  bool partial_checksum =
      false;            ///< The TCP checksum covers the pseudo header only; the receiver need not look.
  bool spared = false;  ///< Made by us: neither loss nor queue take it.
  std::uint8_t data[kMtu];

  std::size_t head_size() const { return std::size_t{ip_size} + tcp_size; }
  std::size_t payload_size() const { return size - head_size(); }
  bool is_tcp() const { return tcp_size != 0; }

  std::uint32_t source() const;  ///< Address, host order.
  std::uint32_t destination() const;
  std::uint16_t port(bool destination) const;
  std::uint32_t sequence() const;
  std::uint32_t acknowledged() const;
  std::uint8_t flags() const;
  /// The sequence number behind this packet: SYN and FIN count as one byte.
  std::uint32_t sequence_end() const;

  void change_port(bool destination, std::uint16_t port);
  /// Keeps `payload` bytes and ends the direction behind them.
  void truncate_with_fin(std::size_t payload);
  /// Checksums and lengths after a change of `size`.
  void seal();
};

/// Packets come from here and go back here; nothing is allocated once the line is full.
class PacketPool {
 public:
  PacketPool() = default;
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;
  ~PacketPool();
  Packet* take();
  void give_back(Packet* packet) { free_.push_back(packet); }

 private:
  std::vector<Packet*> free_;
};

/// Cuts what was read from a TUN device (virtio header first) into packets, appended to `out`. False: not
/// IPv4, or larger than the MTU without being a TCP segment; nothing was appended.
bool split(Bytes read, PacketPool& pool, std::vector<Packet*>& out);

/// A TCP reset without payload, from `from` to `to` (address and port, host order), as RFC 9293 wants it.
Packet* make_reset(PacketPool& pool, std::uint32_t from, std::uint16_t from_port, std::uint32_t to,
                   std::uint16_t to_port, std::uint32_t sequence);

/// How many packets from the beginning of `packets` are one run of a flow that can be written in one call, as
/// a receiver's network card would join them. At least 1 when there is one.
std::size_t joinable(std::span<Packet* const> packets);

/// Writes `run`, which joinable() found, to the TUN device. False: the kernel did not take it.
bool write_run(int tun, std::span<Packet* const> run);

}  // namespace culvert::wan
