// Finds ledgers for the command: the files of an opened folder, each examined through its descriptor. Their names
// are those of ledger/file_names.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "ledger/copy.h"
#include "ledger/file_names.h"
#include "ledger/layout.h"
#include "ledger/ownership.h"

namespace unfreed::cli {

using ledger::is_running;

/// A folder held open: operations act on this folder, even if its path leads elsewhere by now.
struct LedgerFolder {
  base::UniqueFd fd;
  std::string path;  ///< for messages
  bool is_for_others = false;
};

struct LedgerFile {
  std::shared_ptr<const LedgerFolder> folder;
  ledger::FileName name;
  std::string path() const;
};
/// Is it that process's? Processes of other pid namespaces have numbers of their own.
inline bool is_of(const LedgerFile& file, int pid, uint64_t pid_namespace) {
  return file.name.pid == pid && file.name.pid_namespace == pid_namespace;
}
/// By process, then by image. Without those that complete another (ledger/library_part.h).
std::vector<LedgerFile> list_ledgers(const std::vector<std::shared_ptr<const LedgerFolder>>& folders);

/// An open ledger, if it can be trusted: a regular file of this user or, in a folder for others, of the user that the
/// process has become.
struct OpenLedger {
  base::UniqueFd file;
  unsigned user = 0;  ///< whose it is
};
OpenLedger open_ledger(const LedgerFile& file);

/// What a ledger's header alone tells.
struct LedgerFacts {
  ledger::State state = ledger::State::starting;
  ledger::Handover handover = ledger::Handover::none;
  unsigned user = 0;  ///< the file's
  uint64_t created_boottime_ns = 0;
  uint64_t start_ticks = 0;  ///< of the process (/proc/PID/stat); 0 unknown
  bool is_reported = false;
  bool is_traced = false;  ///< from outside: its process may go on without its tracer
};
/// Empty if it cannot be opened, or is not a ledger that this program reads.
std::optional<LedgerFacts> read_ledger_facts(const LedgerFile& file);

/// Is the ledger's process still running? `facts`: what was read of the ledger before, if anything.
bool has_process(const LedgerFile& file, const std::optional<LedgerFacts>& facts);

/// Tells that process to make its last report itself. Does nothing if the file is not a ledger.
void say_launcher_is_gone(const LedgerFile& file);

/// To `copy`, which was read from `file`: if its process is traced and has the library in it as well, adds what that
/// has recorded. Where that is missing or unreadable, the kinds that the library alone sees become unavailable.
void add_library_part(ledger::Copy& copy, const LedgerFile& file);
/// The same, of a ledger that is known by its path.
void add_library_part(ledger::Copy& copy, const std::string& path);

/// Renames a ledger that was left to the launcher to ".done", as its process is about to do: whichever comes second
/// finds nothing to rename.
void finish_name(LedgerFile& file);

/// With what the library has recorded in a traced process.
void remove_ledger(const LedgerFile& file);
/// What the library has recorded in processes that have ended, and that nobody has another ledger of any more.
void remove_lone_library_parts(const std::vector<std::shared_ptr<const LedgerFolder>>& folders);
bool is_there(const LedgerFile& file);
/// Removes the file if it is empty: its process was killed before it could begin its ledger.
void remove_unbegun(const LedgerFile& file);

/// The folder of /proc with the process's descriptors, memory map and root: "/proc/PID", or that of another thread if
/// the main thread has ended.
std::string process_folder(int pid);

inline constexpr std::string_view kDefaultLedgerDirectory = "/dev/shm";
/// UNFREED_LEDGER_DIR, else the default.
std::string ledger_directory();

/// This user's folders in a ledger directory.
std::vector<std::shared_ptr<const LedgerFolder>> list_own_folders(const std::string& directory);

}  // namespace unfreed::cli
