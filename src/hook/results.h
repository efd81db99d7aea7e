// Descriptors that calls return in a result: of ioctl, of getsockopt, in what a fanotify descriptor is read for. Shared
// by the hooks of these and of syscall(). To be called after the real call has succeeded; all keep errno.
#pragma once

#include <sys/socket.h>

#include <cstddef>

#include "hook/real.h"
#include "track/fd.h"
#include "unwind/frame.h"

namespace unfreed::hook {

/// Where the descriptor is that an ioctl request makes: in the result, or so many bytes into the argument. kMakesNone:
/// it makes none.
inline constexpr long kInResult = -1;
inline constexpr long kMakesNone = -2;
long ioctl_maker(unsigned long request);

void take_result_of_ioctl(int result, unsigned long request, const void* argument, Hook hook,
                          const unwind::Registers& from);
void take_socket_option(int level, int name, const void* value, socklen_t bytes, Hook hook,
                        const unwind::Registers& from);
/// `fd` has been read from: events may have descriptors in them, if it is one of fanotify or userfaultfd.
void take_events(int fd, const void* events, size_t bytes, Hook hook, const unwind::Registers& from);

}  // namespace unfreed::hook
