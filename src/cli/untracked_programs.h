// The untracked programs of a run: processes that start one record it on the run's board or, if they may not write to
// that any more, in their ledgers; the launcher adds those that it finds itself.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "elf/obstacle.h"
#include "ledger/layout.h"
#include "ledger/view.h"
#include "settings/settings.h"

namespace unfreed::cli {

/// The board's file; made by the launcher, and removed when it ends. Without one (no room) only the processes that
/// started such programs know them.
class UntrackedBoardFile {
 public:
  explicit UntrackedBoardFile(const std::string& path);
  ~UntrackedBoardFile();
  UntrackedBoardFile(const UntrackedBoardFile&) = delete;
  UntrackedBoardFile& operator=(const UntrackedBoardFile&) = delete;

 private:
  friend class UntrackedPrograms;
  std::string path_;
  int file_ = -1;
};

struct UntrackedProgram {
  std::string program;
  std::string reason;
  uint64_t count = 0;
  bool allowed = false;
};

class UntrackedPrograms {
 public:
  /// `allowed`: UNFREED_ALLOW_UNTRACKED.
  /// `settings` must outlive it.
  explicit UntrackedPrograms(const report::Settings& settings) : settings_(settings) {}

  void add(std::string program, elf::Obstacle obstacle, uint64_t count);
  void add(std::string program, std::string reason, uint64_t count);
  /// Adds one that is running, unless it is known already. After read().
  void add_if_missing(std::string program, elf::Obstacle obstacle);
  /// A process that is tracked since then: the untracked program that it was before has been replaced.
  void add_tracked(int pid, uint64_t started_ns);
  /// Adds what a ledger has that is not on the board.
  void add_off_board(const ledger::View& ledger);
  /// Reads the board. After all add_tracked().
  void read(const UntrackedBoardFile& board);

  std::vector<UntrackedProgram> list() const;
  /// Were there programs for which rules could not be checked, and that no setting accepts?
  bool any_missed() const;

 private:
  void add(const ledger::Untracked& record);
  void add_all_off_board();

  const report::Settings& settings_;
  std::vector<std::unique_ptr<ledger::Untracked>> off_board_;  ///< until all add_tracked() are known
  bool has_read_board_ = false;
  std::map<std::pair<std::string, std::string>, uint64_t> counts_;  ///< by program and reason
  std::multimap<int, uint64_t> tracked_;                            ///< start times by pid
};

/// May this program go untracked while rules are checked? Where --allow-untracked names it, or --rules-for leaves it
/// out for certain: what an interpreter would have run is not known.
bool may_go_untracked(const report::Settings& settings, const std::string& program);

}  // namespace unfreed::cli
