// What a run's processes left behind when its command has ended, and which of them go on.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "cli/ledger_files.h"
#include "cli/session.h"
#include "cli/tree_report.h"

namespace unfreed::cli {

/// CMD, which has ended and is a zombie, or is not there any more.
struct EndedCommand {
  int pid = -1;
  uint64_t pid_namespace = 0;   ///< the launcher's, and so CMD's
  bool was_short = false;       ///< it had ended before a watch for ledgers was worth it
  std::vector<unsigned> users;  ///< those that it was at its end
};

class LedgerSweep {
 public:
  LedgerSweep(Session& session, TreeReport& reports, const EndedCommand& command)
      : session_(session), reports_(reports), command_(command) {}

  /// Hands the ledgers of all processes but CMD to the reports, and waits for those that are just ending. From then on
  /// the processes that go on report by themselves.
  void run();

  /// Processes that go on; those of other pid namespaces by their numbers here.
  const std::set<int>& running() const { return found_.running; }
  /// Of those, the ones that have no ledger.
  const std::set<int>& without_ledger() const { return found_.without_ledger; }
  /// The newest seen of CMD.
  const std::optional<LedgerFile>& command_ledger() const { return command_ledger_; }
  /// CMD's last image was not tracked, an earlier one was.
  bool command_is_gone_unseen() const { return command_is_gone_unseen_; }

 private:
  using LedgerKey = std::tuple<uint64_t, int, uint32_t, bool>;
  static LedgerKey key_of(const LedgerFile& file) {
    return {file.name.pid_namespace, file.name.pid, file.name.image, file.folder->is_for_others};
  }
  struct Found {
    std::set<int> running;         ///< processes that go on; those of other pid namespaces by their numbers here
    std::set<LedgerKey> pending;   ///< their ledgers
    std::set<int> without_ledger;  ///< of those that go on
    bool unsettled = false;        ///< a ledger was being made, renamed or removed, or its process was deciding
  };
  void add_running(const LedgerFile& file, Found& found) const {
    if (file.name.pid_namespace == command_.pid_namespace) found.running.insert(file.name.pid);
  }
  bool is_commands(const LedgerFile& file) const;
  bool is_believable(const LedgerFile& file) const;
  void sweep_process(const std::vector<LedgerFile>& files, Found& found);
  Found sweep_once(const std::set<LedgerKey>& expected, bool looks_for_processes);

  Session& session_;
  TreeReport& reports_;
  const EndedCommand& command_;
  Found found_;
  std::optional<LedgerFile> command_ledger_;
  bool command_is_gone_unseen_ = false;
};

}  // namespace unfreed::cli
