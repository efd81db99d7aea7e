// Where this process's ledger is made, which name it gets, and what becomes of its file. Folders and names are those of
// ledger/file_names.h. No descriptor is held.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace unfreed::runtime {

/// From the environment; copied, because programs overwrite theirs.
struct LedgerPlace {
  char directory[256];  ///< UNFREED_LEDGER_DIR
  char run[48];         ///< the folder of the launcher's run; "" without one
  char others[32];      ///< in there, for processes of other users; "" for none
};
/// `run`: UNFREED_SESSION, "unfreed-0-ab12" or "unfreed-0-ab12/others-34cd".
void read_place(std::string_view directory, std::string_view run, LedgerPlace& out);

/// Which file it is, whatever lies under its name later; all 0: none.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  bool is_launchers = false;  ///< made where a launcher looks for it; else the process reports by itself
};

struct NewFile {
  long fd = -1;  ///< or −errno
  FileIdentity identity;
  uint64_t pid_namespace = 0;
  uint64_t boot = 0;  ///< 0 where the file does not survive one
};
/// Makes the file of process `pid`. `path` receives its name. What an earlier image of this process has left is removed.
/// One thread at a time.
NewFile make_ledger_file(const LedgerPlace& place, int pid, std::span<char> path);

/// Does the launcher of this run take ledgers? One that ends removes its file, and then tells the processes whose ledgers
/// it finds; who makes one after that finds no file.
bool launcher_takes_ledgers(const LedgerPlace& place);

/// Removes what an earlier image of this process has left: for one that makes no ledger itself.
void remove_replaced_ledger(const LedgerPlace& place, int pid);

/// Gives the ledger at `path` the name by which the launcher knows that its process has ended. Where that is out of reach
/// it stays as it is, and is found by its process's being gone.
void rename_to_done(const char* path);

/// Removes the ledger at `path`, and its folder if it was the last in there.
void remove_ledger_file(const char* path);

/// For the process whose ledger `path` is, in the folder of those without a launcher: removes what processes that were
/// killed have left there. Does nothing where `parent`, its parent, has a ledger there, too, and has done it.
void remove_leftover_ledgers(const char* path, int parent);

/// Does the launcher of this run still live? `launcher_pid` is asked for where its lock is out of reach.
bool is_launcher_alive(const LedgerPlace& place, int launcher_pid);

}  // namespace unfreed::runtime
