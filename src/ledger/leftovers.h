// Ledgers that no process or launcher will use again: of processes that were killed, and of images replaced by
// exec. They occupy memory until they are removed; the next process or command does that. The newest few of killed
// processes are kept for an hour, for `unfreed report`: they are all that is left of a crash.
//
// Only this user's own ledgers are examined, and only those that are certainly over are removed: the process is gone
// from this pid namespace or, for a container's, no process has the ledger mapped. Freestanding; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/text.h"

namespace unfreed::ledger {

/// How long the ledgers of a crash are kept.
struct Retention {
  size_t most = 4;          ///< in one folder
  uint64_t seconds = 3600;  ///< from when it was found that its process is gone
};

/// Removes leftovers in an opened folder of `user` (open_folder()). Takes little time, as a runtime does it in its
/// host: of the first few dozen files, those of this pid namespace.
void remove_leftovers(long folder, unsigned user, Retention retention = {});

/// Removes leftovers in all folders of `user` in a ledger directory, except those of running launchers, and the
/// folders that are empty then.
void remove_leftover_folders(const char* directory, unsigned user, Retention retention = {});

/// Does a launcher still accept the ledgers of this folder?
enum class Launcher : uint8_t { gone, there, unknown };
Launcher find_launcher(long folder);

/// Where somebody else has taken the name of the user's folder: appends the name of another folder of that user in the
/// ledger directory, which no launcher uses. False: there is none.
bool find_other_folder(const char* directory, unsigned user, base::TextBuilder& name);

/// For a launcher that is about to end: notifies processes that still run that they report by themselves; ledgers of
/// those that do not, read or not, are removed. Of an opened folder of its run; `command`: a process that has ended.
/// True: some do.
bool abandon_run(long folder, int command);

}  // namespace unfreed::ledger
