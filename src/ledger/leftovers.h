// Ledgers that nobody will come back for: of processes that were killed, and of images that were replaced by exec. They
// are memory that stays taken until somebody removes them; whoever comes next does. The newest few of killed processes
// are kept for an hour, for `unfreed report`: they are all that is left of a crash.
//
// Only what is this user's own is looked at, and only what is known to be over is removed: its process is gone from this
// pid namespace, or, of a container's, nobody has it mapped. Freestanding; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unfreed::ledger {

/// For how long what is left of a crash is kept.
struct Retention {
  size_t most = 4;          ///< in one folder
  uint64_t seconds = 3600;  ///< from when it was found that its process is gone
};

/// Removes what is left over in an opened folder of `user` (open_folder()). In little time, as a runtime does it in its
/// host's: of the first few dozen files, those of this pid namespace.
void remove_leftovers(long folder, unsigned user, Retention retention = {});

/// Removes what is left over in all folders of `user` in a ledger directory, but for those of launchers that run; and the
/// folders that are empty then.
void remove_leftover_folders(const char* directory, unsigned user, Retention retention = {});

/// Does a launcher still take the ledgers of this folder?
enum class Launcher : uint8_t { gone, there, unknown };
Launcher find_launcher(long folder);

/// For a launcher that is about to end: processes that still run are told to report by themselves, and the ledgers of
/// those that do not, read or not, are removed. Of an opened folder of its run; `command`: a process that has ended.
/// True: some do.
bool abandon_run(long folder, int command);

}  // namespace unfreed::ledger
