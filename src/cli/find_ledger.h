// Finds the ledger of a running process.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/ledger_files.h"

namespace unfreed::cli {

struct FoundLedger {
  OpenLedger open;
  std::string path;  ///< for messages
};

/// The ledger that the process has mapped, in whichever directory and container; else the one with its number in this
/// user's own folders. A name is not enough, as a process may map files of any name: only the very file that it has
/// mapped is opened, and only if it is a regular one of that process's users, of root, or of the caller.
FoundLedger find_ledger(int pid);

/// What /proc/PID/status says in a line of numbers ("PPid:").
std::vector<unsigned> status_numbers(int pid, std::string_view key);
/// Real, effective, saved and file system user of a process, which may be a zombie. Empty if access is denied.
std::vector<unsigned> users_of(int pid);

}  // namespace unfreed::cli
