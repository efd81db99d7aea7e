// Pointers that the program has given to the kernel to keep: the data of epoll_ctl(2), which is all that many a server
// has of a connection. Async-signal-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace unfreed::grade {

/// "tfd:        5 events:       19 data:     7f1f0c000b70  pos:0 ino:12 sdev:e", of an epoll descriptor (proc(5),
/// /proc/PID/fdinfo). False: it is no such line.
bool parse_epoll_data(std::string_view line, uint64_t& data);

/// Calls `visit(data)` for all that the epoll descriptors of process `pid` keep: the calling process, or the one that
/// it is a copy of, as a copy has closed its own. False: the kernel does not say, or not all. Where a
/// copy may not look, as the process has changed its user (PR_SET_DUMPABLE), there are none. `buffer`: memory to read
/// to, kLineBytes or more.
bool each_epoll_data(int pid, std::span<char> buffer, void* context, void (*visit)(void* context, uint64_t data));
template <class Visit>
bool each_epoll_data(int pid, std::span<char> buffer, Visit visit) {
  return each_epoll_data(pid, buffer, &visit,
                         [](void* context, uint64_t data) { (*static_cast<Visit*>(context))(data); });
}

}  // namespace unfreed::grade
