// The ledger of a process that runs.
#pragma once

#include <string>

#include "cli/ledger_files.h"

namespace unfreed::cli {

struct FoundLedger {
  OpenLedger open;
  std::string path;  ///< as the user is told
};

/// The ledger that the process has mapped, in whichever directory and container; else one in this user's own folders
/// that has its number. Not by its name alone: a process may map files of any name, so that only the very file that it
/// has mapped is opened, and only if it is a regular one of that process's users, of root, or of the caller.
FoundLedger find_ledger(int pid);

/// Real, effective, saved and file system user of a process, which may be a zombie. Empty where it may not be asked.
std::vector<unsigned> users_of(int pid);

}  // namespace unfreed::cli
