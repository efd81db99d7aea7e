#include "kernel/socket_text.h"

#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include "base/syscall.h"

namespace unfreed::report {

namespace {

bool get_option(long fd, int level, int name, int& out) {
  socklen_t size = sizeof out;
  out = 0;
  return !base::is_error(
      base::raw_syscall(SYS_getsockopt, fd, level, name, reinterpret_cast<long>(&out), reinterpret_cast<long>(&size)));
}

/// One end of a socket. `size` 0: the kernel does not say.
struct Address {
  sockaddr_storage storage{};
  size_t size = 0;

  bool read(long call, long fd) {
    socklen_t length = sizeof storage;
    if (base::is_error(base::raw_syscall(call, fd, reinterpret_cast<long>(&storage), reinterpret_cast<long>(&length))))
      return false;
    size = length < sizeof storage ? length : sizeof storage;
    return true;
  }
};

struct Name {
  int number;
  std::string_view text;
};

template <size_t kCount>
std::string_view find(const Name (&names)[kCount], int number) {
  for (const Name& name : names)
    if (name.number == number) return name.text;
  return {};
}

constexpr Name kTcpStates[] = {
    {1, "established"}, {2, "syn_sent"},   {3, "syn_received"}, {4, "fin_wait_1"}, {5, "fin_wait_2"}, {6, "time_wait"},
    {7, "closed"},      {8, "close_wait"}, {9, "last_ack"},     {10, "listening"}, {11, "closing"},
};
constexpr Name kInternetProtocols[] = {
    {IPPROTO_TCP, "tcp"}, {IPPROTO_UDP, "udp"},         {IPPROTO_ICMP, "icmp"}, {IPPROTO_ICMPV6, "icmp6"},
    {132, "sctp"},        {IPPROTO_UDPLITE, "udplite"}, {33, "dccp"},           {262, "mptcp"},
};
constexpr Name kTypes[] = {
    {SOCK_STREAM, "stream"}, {SOCK_DGRAM, "dgram"}, {SOCK_RAW, "raw"}, {SOCK_SEQPACKET, "seqpacket"}};
constexpr Name kNetlinkProtocols[] = {{0, "route"},           {2, "usersock"}, {4, "sock_diag"},  {6, "xfrm"},
                                      {8, "iscsi"},           {9, "audit"},    {11, "connector"}, {12, "netfilter"},
                                      {15, "kobject_uevent"}, {16, "generic"}, {21, "crypto"}};
constexpr Name kFamilies[] = {
    {AF_PACKET, "packet"}, {AF_VSOCK, "vsock"}, {AF_BLUETOOTH, "bluetooth"}, {AF_CAN, "can"},
    {AF_ALG, "alg"},       {AF_XDP, "xdp"},     {AF_TIPC, "tipc"},           {AF_IEEE802154, "ieee802154"}};

void add_ipv4(const unsigned char* bytes, base::TextBuilder& out) {
  for (int index = 0; index < 4; ++index) {
    if (index > 0) out.add('.');
    out.add_number(bytes[index]);
  }
}

/// RFC 5952: lower case, the longest run of two or more zero groups as "::", mapped addresses in dotted form.
void add_ipv6(const in6_addr& address, base::TextBuilder& out) {
  const unsigned char* bytes = address.s6_addr;
  uint32_t groups[8];
  for (int index = 0; index < 8; ++index) groups[index] = uint32_t{bytes[2 * index]} << 8 | bytes[2 * index + 1];
  int run_start = -1;
  int run_length = 1;
  for (int start = 0; start < 8; ++start) {
    int length = 0;
    while (start + length < 8 && groups[start + length] == 0) ++length;
    if (length <= run_length) continue;
    run_start = start;
    run_length = length;
  }
  bool mapped = run_start == 0 && run_length == 5 && groups[5] == 0xffff;
  for (int index = 0; index < 8; ++index) {
    if (index == run_start) {
      out.add("::");
      index += run_length - 1;
      continue;
    }
    if (mapped && index == 6) {
      add_ipv4(bytes + 12, out);
      return;
    }
    out.add_hex(groups[index]);
    if (index < 7 && index + 1 != run_start) out.add(':');
  }
}

void add_port(in_port_t port, base::TextBuilder& out) { out.add(':').add_number(ntohs(port)); }

void add_unix_path(const sockaddr_storage& storage, size_t size, base::TextBuilder& out) {
  const auto& address = reinterpret_cast<const sockaddr_un&>(storage);
  constexpr size_t kPathStart = offsetof(sockaddr_un, sun_path);
  if (size <= kPathStart) {
    out.add("unnamed");
    return;
  }
  std::string_view path(address.sun_path, size - kPathStart);
  if (path.front() != '\0') {
    out.add(std::string_view(path.data(), ::strnlen(path.data(), path.size())));
    return;
  }
  // An abstract name is all its bytes, NULs too; '@' stands for them as in /proc/net/unix.
  for (char character : path) out.add(character == '\0' ? '@' : character);
}

/// Port and address are zero: bound to nothing.
bool is_unbound(const Address& address) {
  if (address.storage.ss_family == AF_INET) return reinterpret_cast<const sockaddr_in&>(address.storage).sin_port == 0;
  return reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_port == 0;
}

void describe_internet(long fd, int family, int type, int protocol, base::TextBuilder& out) {
  std::string_view name = find(kInternetProtocols, protocol);
  if (name.empty() || type == SOCK_RAW) name = "raw";
  out.add(name);
  if (family == AF_INET6 && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)) out.add('6');
  Address local;
  Address peer;
  local.read(SYS_getsockname, fd);
  bool connected = peer.read(SYS_getpeername, fd);
  // The kernel's struct grows; its first byte has always been the state.
  unsigned char info[256] = {};
  socklen_t size = sizeof info;
  int state = 0;
  if (type == SOCK_STREAM &&
      !base::is_error(base::raw_syscall(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, reinterpret_cast<long>(info),
                                        reinterpret_cast<long>(&size))))
    state = info[0];
  out.add(' ');
  if (!connected && is_unbound(local)) {
    out.add("unbound");
    return;
  }
  add_address(local.storage, local.size, out);
  if (connected) {
    out.add(" -> ");
    add_address(peer.storage, peer.size, out);
  }
  if (std::string_view state_name = find(kTcpStates, state); !state_name.empty()) out.add(' ').add(state_name);
}

void describe_unix(long fd, int type, base::TextBuilder& out) {
  Address local;
  Address peer;
  local.read(SYS_getsockname, fd);
  bool connected = peer.read(SYS_getpeername, fd);
  constexpr size_t kPathStart = offsetof(sockaddr_un, sun_path);
  bool named = local.size > kPathStart;
  out.add("unix ");
  // A stream with a name is what people mean by a Unix socket; everything else says what it is.
  if (!named || type != SOCK_STREAM) out.add(find(kTypes, type)).add(' ');
  add_address(local.storage, local.size, out);
  if (connected && peer.size > kPathStart) {
    out.add(" -> ");
    add_address(peer.storage, peer.size, out);
  }
  int listening = 0;
  if (get_option(fd, SOL_SOCKET, SO_ACCEPTCONN, listening) && listening) out.add(" listening");
}

void describe_netlink(long fd, int protocol, base::TextBuilder& out) {
  out.add("netlink ");
  std::string_view name = find(kNetlinkProtocols, protocol);
  if (name.empty())
    out.add("protocol ").add_signed(protocol);
  else
    out.add(name);
  Address local;
  if (local.read(SYS_getsockname, fd) && local.size >= sizeof(sockaddr_nl))
    if (uint32_t port = reinterpret_cast<const sockaddr_nl&>(local.storage).nl_pid) out.add(" port ").add_number(port);
}

void describe_other(long fd, int family, int type, base::TextBuilder& out) {
  std::string_view name = find(kFamilies, family);
  if (name.empty())
    out.add("socket family ").add_signed(family);
  else
    out.add(name);
  if (std::string_view type_name = find(kTypes, type); !type_name.empty()) out.add(' ').add(type_name);
  if (family != AF_VSOCK) return;
  Address local;
  if (local.read(SYS_getsockname, fd)) add_address(local.storage, local.size, out.add(' '));
}

}  // namespace

void add_address(const sockaddr_storage& address, size_t size, base::TextBuilder& out) {
  if (size < sizeof(sa_family_t)) {
    out.add("unnamed");
    return;
  }
  switch (address.ss_family) {
    case AF_INET: {
      const auto& internet = reinterpret_cast<const sockaddr_in&>(address);
      add_ipv4(reinterpret_cast<const unsigned char*>(&internet.sin_addr), out);
      add_port(internet.sin_port, out);
      break;
    }
    case AF_INET6: {
      const auto& internet = reinterpret_cast<const sockaddr_in6&>(address);
      out.add('[');
      add_ipv6(internet.sin6_addr, out);
      if (internet.sin6_scope_id != 0) out.add('%').add_number(internet.sin6_scope_id);
      out.add(']');
      add_port(internet.sin6_port, out);
      break;
    }
    case AF_UNIX:
      add_unix_path(address, size, out);
      break;
    case AF_VSOCK: {
      const auto& vsock = reinterpret_cast<const sockaddr_vm&>(address);
      out.add_number(vsock.svm_cid).add(':').add_number(vsock.svm_port);
      break;
    }
    default:
      out.add("family ").add_number(address.ss_family);
  }
}

bool describe_socket(long fd, base::TextBuilder& out) {
  int family = 0;
  int type = 0;
  int protocol = 0;
  if (!get_option(fd, SOL_SOCKET, SO_DOMAIN, family)) return false;
  get_option(fd, SOL_SOCKET, SO_TYPE, type);
  get_option(fd, SOL_SOCKET, SO_PROTOCOL, protocol);
  if (family == AF_INET || family == AF_INET6)
    describe_internet(fd, family, type, protocol, out);
  else if (family == AF_UNIX)
    describe_unix(fd, type, out);
  else if (family == AF_NETLINK)
    describe_netlink(fd, protocol, out);
  else
    describe_other(fd, family, type, out);
  return true;
}

}  // namespace unfreed::report
