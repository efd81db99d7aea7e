// Ledgers as the command finds them: the files of an opened folder, each looked at through its descriptor. Their names
// are those of ledger/file_names.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "ledger/file_names.h"
#include "ledger/layout.h"
#include "ledger/ownership.h"

namespace unfreed::cli {

using ledger::is_running;

/// A folder held open: what is done in it is done there, whatever its path leads to by now.
struct LedgerFolder {
  base::UniqueFd fd;
  std::string path;  ///< as the user is told
  bool is_for_others = false;
};

struct LedgerFile {
  std::shared_ptr<const LedgerFolder> folder;
  ledger::FileName name;
  std::string path() const;
};
/// By process, then by image.
std::vector<LedgerFile> list_ledgers(const std::vector<std::shared_ptr<const LedgerFolder>>& folders);

/// An open ledger, if it is one that may be believed: a regular file of this user, or, in a folder for others, of
/// whomever that process has become.
struct OpenLedger {
  base::UniqueFd file;
  unsigned user = 0;  ///< whose it is
};
OpenLedger open_ledger(const LedgerFile& file);

/// What can be told of a ledger from its header alone.
struct LedgerFacts {
  ledger::State state = ledger::State::starting;
  ledger::Handover handover = ledger::Handover::none;
  unsigned user = 0;  ///< the file's
  uint64_t created_boottime_ns = 0;
  bool is_reported = false;
};
/// Empty where it is no ledger that this program reads, or cannot be opened.
std::optional<LedgerFacts> read_ledger_facts(const LedgerFile& file);

/// Does the process still run whose ledger that is? `facts`: what was read of it before, if anything could be.
bool has_process(const LedgerFile& file, const std::optional<LedgerFacts>& facts);

/// Lets that process make its last report by itself. Nothing happens where it is no ledger.
void say_launcher_is_gone(const LedgerFile& file);

/// Gives a ledger that was left to the launcher the name of those that are (".done"), as its process is about to do:
/// whoever is first, the other finds nothing to rename.
void finish_name(LedgerFile& file);

void remove_ledger(const LedgerFile& file);
bool is_there(const LedgerFile& file);
/// Removes the file if nothing is in it: of a process that was killed before it had begun its ledger.
void remove_unbegun(const LedgerFile& file);

/// The folder of /proc that shows what the process holds, its memory map and its root: "/proc/PID", or that of another
/// thread where the main thread has ended.
std::string process_folder(int pid);

inline constexpr std::string_view kDefaultLedgerDirectory = "/dev/shm";
/// UNFREED_LEDGER_DIR, else the default.
std::string ledger_directory();

/// This user's folders in a ledger directory.
std::vector<std::shared_ptr<const LedgerFolder>> list_own_folders(const std::string& directory);

}  // namespace unfreed::cli
