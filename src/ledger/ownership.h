// Whose a ledger is, and whether its process is still there: asked of opened files and of the kernel, never of what
// stands in the ledger or in a path. Freestanding; async-signal-safe.
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace unfreed::ledger {

/// Opens a folder to make or find files in (O_PATH): the descriptor, or −errno. −EPERM where it is of another user than
/// `user`, or one that others may write to, as it may then hold anything. `is_for_others`: this one is meant for them.
long open_folder(long directory, const char* name, unsigned user, bool is_for_others = false);

/// Opens a regular file of `user` in an opened folder, waiting for nothing and following no link: the descriptor, or
/// −errno (−EPERM: it is another kind of file, or another user's). `flags`: O_RDONLY or O_WRONLY. `status` receives what
/// fstat() says.
long open_own_file(long folder, const char* name, unsigned user, int flags, struct stat& status);

/// The inode of this process's pid namespace: what tells its numbers from those of other containers. 0 without /proc.
uint64_t own_pid_namespace();
/// A number of this boot of the machine; 0 where the kernel does not say.
uint64_t boot_number();
/// CLOCK_BOOTTIME, which the start times in /proc are on.
uint64_t boottime_ns();

/// Does the process `pid` run that was there at `seen_boottime_ns` (0: whichever has the number)? Not one that has taken
/// over the number since, and not a zombie. Of this pid namespace.
bool is_running(int pid, uint64_t seen_boottime_ns);

/// Does this open file lie in memory (tmpfs)?
bool is_in_memory(long file);

/// May some process have this file mapped for writing, in whatever container it runs? `file` is open for reading, and
/// the caller's own or root's to ask about. True also where the kernel cannot tell.
bool may_be_mapped(long file);

}  // namespace unfreed::ledger
