// The ledger's file: made when tracking starts, given a new name or removed when it ends. No descriptor is held: what
// is mapped of it is ledger_memory.h's.
#pragma once

#include <cstddef>
#include <span>

namespace unfreed::runtime {

/// Where ledgers live, from the environment; copied, because programs overwrite theirs.
struct LedgerPlace {
  char directory[256];
  char session[64];
  bool has_launcher;  ///< was started by one, which may have ended since
};

/// Is there a launcher, which clears away what processes leave? Makes system calls.
bool launcher_takes_ledgers(const LedgerPlace& place);

/// Removes what earlier images of process `pid`, which have called exec, have left; for an image that is not tracked
/// itself.
void clear_replaced(const LedgerPlace& place, int pid);

/// Makes a new file under the first free name of this pid; `path` receives it. Returns its descriptor, or −errno.
long create_ledger_file(const LedgerPlace& place, int pid, std::span<char> path);

}  // namespace unfreed::runtime
