#include "tests/support/wan/ends.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/support/wan/packet.hpp"

namespace culvert::wan {
namespace {

/// Room for a whole window of small packets: the queue that drops is the link's, never the kernel's.
constexpr int kDeviceQueue = 60'000;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "wan-line: cannot %s: %s; it needs root and /dev/net/tun\n", what,
               std::strerror(errno));
  std::exit(1);
}

ifreq request_for(const char* device) {
  ifreq request{};
  std::strncpy(request.ifr_name, device, sizeof request.ifr_name - 1);
  return request;
}

void set_address(int control, unsigned long what, const char* device, const std::string& address) {
  ifreq request = request_for(device);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  ::inet_pton(AF_INET, address.c_str(), &in.sin_addr);
  std::memcpy(&request.ifr_addr, &in, sizeof in);
  if (::ioctl(control, what, &request) != 0) die("give the device an address");
}

void bring_up(int control, const char* device) {
  ifreq request = request_for(device);
  if (::ioctl(control, SIOCGIFFLAGS, &request) != 0) die("read the flags of a device");
  request.ifr_flags |= IFF_UP;
  if (::ioctl(control, SIOCSIFFLAGS, &request) != 0) die("bring a device up");
}

/// Router solicitations would be counted as traffic of the line.
void forbid_ipv6() {
  const int fd = ::open("/proc/sys/net/ipv6/conf/all/disable_ipv6", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;  // A kernel without IPv6.
  [[maybe_unused]] const ssize_t n = ::write(fd, "1", 1);
  ::close(fd);
}

}  // namespace

End make_end(const std::string& address) {
  const int home = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0 || ::unshare(CLONE_NEWNET) != 0) die("make a network namespace");
  End end;
  end.net_space = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  forbid_ipv6();
  end.tun = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ifreq request = request_for("wan");
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (end.tun < 0 || ::ioctl(end.tun, TUNSETIFF, &request) != 0) die("make a TUN device");
  if (::ioctl(end.tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0)
    die("let the TUN device take large segments");
  const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  set_address(control, SIOCSIFADDR, "wan", address);
  set_address(control, SIOCSIFNETMASK, "wan", "255.255.255.0");
  request = request_for("wan");
  request.ifr_mtu = static_cast<int>(kMtu);
  if (::ioctl(control, SIOCSIFMTU, &request) != 0) die("set the MTU");
  request = request_for("wan");
  request.ifr_qlen = kDeviceQueue;
  if (::ioctl(control, SIOCSIFTXQLEN, &request) != 0) die("set the queue of the device");
  bring_up(control, "lo");
  bring_up(control, "wan");
  ::close(control);
  if (::setns(home, CLONE_NEWNET) != 0) die("return to the first namespace");
  ::close(home);
  return end;
}

}  // namespace culvert::wan
