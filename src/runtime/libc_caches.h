// Which blocks does libc keep for itself? It knows: __libc_freeres, which glibc has for Valgrind and mtrace, frees all
// of them. It is called in a copy of the process, where free() only notes the address. So whatever a later glibc caches
// is recognised, and whatever a function both caches and returns is told apart: what getaddrinfo remembers of the
// system's configuration from the addresses that it returns.
#pragma once

namespace unfreed::runtime {

/// Counts such blocks as libc's own. Does nothing if no block may be one. For the thread that has the ReportTurn.
/// Takes as long as a fork and an exit. A copy that needs a lock which another thread held is killed: some blocks are
/// counted under the caller then.
void find_libc_caches();

}  // namespace unfreed::runtime
