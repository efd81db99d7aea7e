// Where this process's ledger is made, how it is named, and what happens to its file. Folders and names are those of
// ledger/file_names.h. No descriptor is held.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace unfreed::runtime {

/// From the environment; copied, because programs overwrite theirs.
struct LedgerPlace {
  char directory[256];   ///< UNFREED_LEDGER_DIR
  char run[48];          ///< the folder of the launcher's run; "" without one
  char others[32];       ///< in there, for processes of other users; "" for none
  bool is_library_part;  ///< a tracer counts descriptors, threads and children: this ledger completes its
};
/// `run`: UNFREED_SESSION, "unfreed-0-ab12" or "unfreed-0-ab12/others-34cd".
void read_place(std::string_view directory, std::string_view run, LedgerPlace& out);

/// Identifies a file, whatever its name refers to later; all 0: none.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  bool is_launchers = false;  ///< made where a launcher looks for it; else the process reports separately
};

struct NewFile {
  long fd = -1;  ///< or −errno
  FileIdentity identity;
  uint64_t pid_namespace = 0;
  uint64_t boot = 0;  ///< 0 where the file does not survive one
};
/// Makes the file of process `pid`. `path` receives its name. Removes the ledger of an earlier image of this process.
/// One thread at a time.
NewFile make_ledger_file(const LedgerPlace& place, int pid, std::span<char> path);

/// Does the launcher of this run accept ledgers? When it ends, it removes its file, then notifies the processes whose
/// ledgers it finds; a process that makes one after that finds no file.
bool launcher_takes_ledgers(const LedgerPlace& place);

/// Is the run's folder out of reach here, in another mount namespace or behind a mount, while its launcher goes on?
/// Async-signal-safe.
bool is_run_out_of_reach(const LedgerPlace& place, int launcher_pid);

/// Removes the ledger of an earlier image of this process: for one that makes no ledger itself.
void remove_replaced_ledger(const LedgerPlace& place, int pid);

/// Renames the ledger at `path` so that the launcher knows that its process has ended. If the folder is out of reach it
/// keeps its name, and the launcher notices that the process is gone.
void rename_to_done(const char* path);

/// Removes the ledger at `path`, and its folder if that is empty then.
void remove_ledger_file(const char* path);

/// For the process that owns ledger `path` in the folder of those without a launcher: removes ledgers that killed
/// processes have left there. Does nothing if `parent`, its parent, has a ledger there, too, and has done it.
void remove_leftover_ledgers(const char* path, int parent);

/// Is the launcher of this run still running? If its lock is out of reach, checks the process `launcher_pid`.
bool is_launcher_alive(const LedgerPlace& place, int launcher_pid);

}  // namespace unfreed::runtime
