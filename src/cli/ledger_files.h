// The ledgers in the ledger directory: their names, whose they are, and what has become of their processes.
//
//     <directory>/unfreed.<session>.<pid>.<n>[.done]
//     <directory>/unfreed.<session>.launcher          empty; there while the launcher takes ledgers
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/layout.h"

namespace unfreed::cli {

struct LedgerName {
  std::string session;
  int pid = 0;
  uint32_t image = 0;  ///< 0, 1, 2 … as the process calls exec
  bool done = false;
};
/// Empty for the name of anything else.
std::optional<LedgerName> parse_ledger_name(std::string_view file_name);

/// Of a session's launcher file.
std::string launcher_file_name(std::string_view session);

struct LedgerFile {
  std::string path;
  LedgerName name;
};
/// Those of `session` (of all sessions for ""), by pid, then by image.
std::vector<LedgerFile> list_ledgers(const std::string& directory, std::string_view session);

/// What can be told of a ledger from its header alone.
struct LedgerFacts {
  ledger::State state = ledger::State::starting;
  uint32_t uid = 0;
  int pid = 0;
  int launcher_pid = 0;
  uint64_t process_start_ticks = 0;
  bool left = false;  ///< to the launcher, by a process that is just ending
};
/// Empty where it is no ledger that this program reads, or cannot be opened.
std::optional<LedgerFacts> read_ledger_facts(const std::string& path);

/// Lets the process whose ledger that is make its last report by itself. Nothing happens where it is no ledger.
void say_launcher_is_gone(const std::string& path);

/// Gives a ledger that was left to the launcher the name of those that are (".done"), as its process is about to do:
/// whoever is first, the other finds nothing to rename.
void finish_name(LedgerFile& file);

/// Removes the file if nothing is in it: of a process that was killed before it had begun its ledger.
void remove_unbegun(const std::string& path);

/// Does the process still run? Not one that has taken over its pid (`start_ticks`: field 22 of /proc/PID/stat, 0 for
/// unknown), not a zombie.
bool is_running(int pid, uint64_t start_ticks);

/// The folder of /proc that shows what the process holds, its memory map and its root: "/proc/PID", or that of another
/// thread where the main thread has ended.
std::string process_folder(int pid);

inline constexpr std::string_view kDefaultLedgerDirectory = "/dev/shm";
/// UNFREED_LEDGER_DIR, else the default.
std::string ledger_directory();

/// Removes what dead processes of this user have left behind and nobody will read: ledgers that were never begun, of
/// images replaced by exec, and of processes that ended in order, when their launcher has gone too. Younger than an
/// hour they are kept: a report that could not be written is still in there. Ledgers of killed processes are evidence,
/// and stay. Also the files of launchers that were killed.
void remove_stale_ledgers(const std::string& directory);

}  // namespace unfreed::cli
