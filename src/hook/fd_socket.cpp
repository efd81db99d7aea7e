// Sockets and pipes, and descriptors that arrive in messages.
#include <errno.h>

#include <cstring>

#include "base/keep_errno.h"
#include "hook/messages.h"
#include "hook/real.h"
#include "track/fd.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using hook::take_rights;
using track::fd_acquired;
using unwind::caller_registers;
using unwind::Registers;

namespace {

/// For calls that fill in a pair.
int pair_acquired(int result, const int* pair, Hook hook, const Registers& from) {
  if (result < 0) {
    fd_acquired(result, hook_number(hook), from);
  } else {
    fd_acquired(pair[0], hook_number(hook), from);
    fd_acquired(pair[1], hook_number(hook), from);
  }
  return result;
}

}  // namespace

/// Descriptors passed over a Unix socket. What did not fit (MSG_CTRUNC) the kernel has closed.
void hook::take_rights(const msghdr& message, Hook hook, const Registers& from) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(const_cast<msghdr*>(&message), part)) {
    constexpr int kPidfd = 4;  // SCM_PIDFD, Linux 6.5: of the sender, where SO_PASSPIDFD asks for it
    bool has_descriptors = part->cmsg_type == SCM_RIGHTS || part->cmsg_type == kPidfd;
    if (part->cmsg_level != SOL_SOCKET || !has_descriptors || part->cmsg_len < CMSG_LEN(0)) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      track::fd_arrived(fd, ledger::FdOrigin::received, hook_number(hook), from);
    }
  }
}

UNFREED_HOOK int socket(int domain, int type, int protocol) noexcept {
  return fd_acquired(g_real.socket(domain, type, protocol), hook_number(Hook::socket), caller_registers());
}
UNFREED_HOOK int socketpair(int domain, int type, int protocol, int* pair) noexcept {
  return pair_acquired(g_real.socketpair(domain, type, protocol, pair), pair, Hook::socketpair, caller_registers());
}
namespace {
/// Who has called, if the program wanted to know; else where.
int accepted(int fd, int listener, const sockaddr* address, const socklen_t* length, Hook hook, const Registers& from) {
  track::FdDetails details;
  if (fd >= 0 && address && length) {
    details.address = address;
    details.address_bytes = *length;
  } else {
    details.same_as = listener;
  }
  return fd_acquired(fd, hook_number(hook), from, details);
}
}  // namespace

UNFREED_HOOK int accept(int listener, sockaddr* address, socklen_t* length) {
  return accepted(g_real.accept(listener, address, length), listener, address, length, Hook::accept,
                  caller_registers());
}
UNFREED_HOOK int accept4(int listener, sockaddr* address, socklen_t* length, int flags) {
  return accepted(g_real.accept4(listener, address, length, flags), listener, address, length, Hook::accept4,
                  caller_registers());
}
UNFREED_HOOK int bind(int fd, const sockaddr* address, socklen_t length) noexcept {
  int result = g_real.bind(fd, address, length);
  if (result == 0) track::fd_addressed(fd, ledger::FdTargetForm::address, address, length);
  return result;
}
UNFREED_HOOK int connect(int fd, const sockaddr* address, socklen_t length) {
  int result = g_real.connect(fd, address, length);
  base::KeepErrno keep;
  if (result == 0 || errno == EINPROGRESS || errno == EINTR)
    track::fd_addressed(fd, ledger::FdTargetForm::peer, address, length);
  return result;
}

UNFREED_HOOK ssize_t recvmsg(int socket, msghdr* message, int flags) {
  ssize_t result = g_real.recvmsg(socket, message, flags);
  if (result >= 0 && message->msg_controllen) take_rights(*message, Hook::recvmsg, caller_registers());
  return result;
}
UNFREED_HOOK int recvmmsg(int socket, mmsghdr* messages, unsigned count, ReceiveFlags flags, timespec* timeout) {
  int result = g_real.recvmmsg(socket, messages, count, flags, timeout);
  for (int i = 0; i < result; ++i)
    if (messages[i].msg_hdr.msg_controllen) take_rights(messages[i].msg_hdr, Hook::recvmmsg, caller_registers());
  return result;
}

UNFREED_HOOK int pipe(int* pair) noexcept {
  return pair_acquired(g_real.pipe(pair), pair, Hook::pipe, caller_registers());
}
UNFREED_HOOK int __pipe(int* pair) noexcept {
  return pair_acquired(g_real.__pipe(pair), pair, Hook::__pipe, caller_registers());
}
UNFREED_HOOK int pipe2(int* pair, int flags) noexcept {
  return pair_acquired(g_real.pipe2(pair, flags), pair, Hook::pipe2, caller_registers());
}
