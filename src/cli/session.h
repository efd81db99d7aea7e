// One run's ledgers: where they are, how they are named, and notification when they are finished.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/ledger_files.h"

namespace unfreed::cli {

class Session {
 public:
  /// Chooses a directory (UNFREED_LEDGER_DIR; else /dev/shm, or the temporary directory where /dev/shm is missing or
  /// full) and makes a folder in it that nobody else can write to and with a name that nobody else can predict.
  Session();
  /// Removes the folder unless a process still needs it.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const std::string& directory() const { return directory_; }
  /// For UNFREED_SESSION.
  const std::string& name() const { return name_; }
  /// The run's folder; as root also the one for processes that become another user's. None if none could be made:
  /// every process then reports separately.
  const std::vector<std::shared_ptr<const LedgerFolder>>& folders() const { return folders_; }
  /// The file of the run's ledger::UntrackedBoard; "" if there is none.
  std::string untracked_board() const {
    return folders_.empty() ? "" : folders_[0]->path + "/" + std::string(ledger::kBoardFile);
  }

  std::vector<LedgerFile> ledgers() const { return list_ledgers(folders_); }
  /// Ledgers of processes that have ended in order (".done").
  std::vector<LedgerFile> finished_ledgers() const;
  /// Processes that have the session in their environment and started after `first`: descendants of CMD, with or
  /// without a ledger (a fork child has none before it first acquires something).
  /// `was_short`: it started less than a second ago.
  std::vector<int> processes(int first, bool was_short) const;
  /// Tells all processes, running and future ones, to report separately; returns the ledgers of running ones. Those
  /// left to the launcher before are among the ledgers that are listed next (LedgerFacts::handover).
  std::vector<LedgerFile> stop_taking();
  /// Removes the folders, as far as they are empty. Async-signal-safe.
  void remove_folders();

 private:
  bool make_folder();
  void make_folder_for_others();
  bool is_carried_by(int pid) const;
  std::optional<bool> is_carried_after(int first) const;

  std::string directory_;
  std::string name_;
  std::vector<std::shared_ptr<const LedgerFolder>> folders_;
  std::string others_path_;
  std::string run_path_;
  base::UniqueFd lock_;  ///< of the launcher file: held while ledgers are taken
};

/// Reports ledgers that are finished (".done"). Without inotify it reports none, and the sweep at the end finds them.
class LedgerWatch {
 public:
  explicit LedgerWatch(const Session& session);
  ~LedgerWatch();
  LedgerWatch(const LedgerWatch&) = delete;
  LedgerWatch& operator=(const LedgerWatch&) = delete;

  int descriptor() const { return descriptor_; }  ///< readable when there is something to tell; −1: never
  /// Ledgers finished since the last call; or all that exist, if the kernel has lost events.
  std::vector<LedgerFile> take_finished();

 private:
  const Session& session_;
  int descriptor_ = -1;
  std::vector<int> watches_;  ///< one for each of the session's folders
};

}  // namespace unfreed::cli
