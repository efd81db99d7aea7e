// Who owns a ledger, and whether its process is still running: determined from opened files and the kernel, never from
// the ledger's contents or a path. Freestanding; async-signal-safe.
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace unfreed::ledger {

/// Opens a folder to make or find files in (O_PATH): the descriptor, or −errno. −EPERM if it belongs to another user
/// than `user`, or others may write to it, as it may then hold anything. `is_for_others`: this one is meant for them.
long open_folder(long directory, const char* name, unsigned user, bool is_for_others = false);

/// Opens a regular file of `user` in an opened folder, without waiting or following links: the descriptor, or
/// −errno (−EPERM: it is another kind of file, or another user's). `flags`: O_RDONLY or O_WRONLY. `status` receives
/// what fstat() says.
long open_own_file(long folder, const char* name, unsigned user, int flags, struct stat& status);

/// The inode of this process's pid namespace, which distinguishes its pids from other containers'. 0 without /proc.
uint64_t own_pid_namespace();
/// A number of this boot of the machine; 0 if the kernel does not provide one.
uint64_t boot_number();
/// CLOCK_BOOTTIME, which the start times in /proc are on.
uint64_t boottime_ns();

/// Is the process `pid` running that existed at `seen_boottime_ns` (0: any with this pid)? Not one that has reused
/// the pid since, and not a zombie. In this pid namespace.
bool is_running(int pid, uint64_t seen_boottime_ns);

/// Does this open file lie in memory (tmpfs)?
bool is_in_memory(long file);

/// May any process have this file mapped for writing, in whatever container it runs? `file` is open for reading, and
/// belongs to the caller, or the caller is root. True also if the kernel cannot tell.
bool may_be_mapped(long file);

}  // namespace unfreed::ledger
