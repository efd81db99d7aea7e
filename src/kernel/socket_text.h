// A socket in words: "tcp 127.0.0.1:80 -> 127.0.0.1:51234 established", "unix /run/x.sock listening".
// Raw system calls only; allocation-free, async-signal-safe.
#pragma once

#include <sys/socket.h>

#include "base/text.h"

namespace unfreed::report {

/// Describes the socket `fd` of the calling process. False if the kernel does not even tell its family.
bool describe_socket(long fd, base::TextBuilder& out);

/// "127.0.0.1:80", "[::1]:80", "/run/x.sock", "@abstract", "unnamed" …; `size` as the kernel returned it.
void add_address(const sockaddr_storage& address, size_t size, base::TextBuilder& out);

}  // namespace unfreed::report
