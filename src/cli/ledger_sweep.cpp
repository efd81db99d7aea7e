#include "cli/ledger_sweep.h"

#include <poll.h>

#include <algorithm>

namespace unfreed::cli {

namespace {

/// Processes that are about to end when CMD has ended get this long to do so.
constexpr int kGraceMilliseconds = 100;
constexpr int kGraceStepMilliseconds = 5;

}  // namespace

bool LedgerSweep::is_commands(const LedgerFile& file) const {
  return is_of(file, command_.pid, command_.pid_namespace);
}

/// In a folder that others can write to, CMD's ledger must belong to a user that CMD had become.
bool LedgerSweep::is_believable(const LedgerFile& file) const {
  if (!file.folder->is_for_others || !is_commands(file)) return true;
  return std::find(command_.users.begin(), command_.users.end(), open_ledger(file).user) != command_.users.end();
}

/// One process's ledgers, in the order of its images.
void LedgerSweep::sweep_process(const std::vector<LedgerFile>& files, Found& found) {
  bool is_command = is_commands(files.front());
  for (size_t at = 0; at < files.size(); ++at) {
    LedgerFile file = files[at];
    bool is_newest = at + 1 == files.size();
    std::optional<LedgerFacts> facts = read_ledger_facts(file);
    bool runs = false;
    if (!file.name.done) {
      runs = !is_command && has_process(file, facts);
      // It may have written between the two checks: read the ledger, and its name, again.
      if (!runs) facts = read_ledger_facts(file);
      // It is complete, and only lacks its last name: do not wait for its process, which may be stopped.
      bool is_left = facts && facts->handover == ledger::Handover::left && facts->state == ledger::State::ended;
      if (is_left) finish_name(file);
    }
    if (file.name.done) {
      if (!is_command)
        reports_.add_other(file, false);
      else if (is_newest)
        command_ledger_ = file;
      continue;
    }
    if (!facts) {
      // It is just being made, or has another name by now; otherwise its process was killed before it had begun it.
      if (runs) add_running(file, found);
      if (runs || !is_there(file))
        found.unsettled = true;
      else
        remove_unbegun(file);
    } else if (facts->is_reported) {
      remove_ledger(file);
    } else if (facts->state == ledger::State::replaced || facts->state == ledger::State::starting) {
      if (is_command && is_newest) command_is_gone_unseen_ = facts->state == ledger::State::replaced;
      // Just executing another program, or a fork child with a ledger half made.
      if (runs && is_newest)
        add_running(file, found);
      else if (facts->state == ledger::State::replaced)
        reports_.add_replaced(file);
      else
        remove_ledger(file);
    } else if (runs) {
      add_running(file, found);
      found.pending.insert(key_of(file));
      found.unsettled |= facts->handover == ledger::Handover::deciding;
    } else if (!is_command) {
      reports_.add_other(file, facts->state != ledger::State::ended);
    } else if (is_newest) {
      command_ledger_ = file;
    }
  }
}

/// One look at all ledgers, and at processes that have none. `expected`: ledgers that were there before.
LedgerSweep::Found LedgerSweep::sweep_once(const std::set<LedgerKey>& expected, bool looks_for_processes) {
  Found found;
  std::vector<LedgerFile> files = session_.ledgers();
  std::erase_if(files, [this](const LedgerFile& file) {
    if (is_believable(file)) return false;
    remove_ledger(file);
    return true;
  });
  std::set<LedgerKey> gone = expected;
  for (const LedgerFile& file : files) gone.erase(key_of(file));
  // A file that is renamed while a folder is listed may appear under neither name.
  found.unsettled = !gone.empty();
  auto is_same_process = [](const LedgerFile& left, const LedgerFile& right) {
    return is_of(left, right.name.pid, right.name.pid_namespace);
  };
  for (size_t first = 0; first < files.size();) {
    size_t last = first + 1;
    while (last < files.size() && is_same_process(files[last], files[first])) ++last;
    sweep_process({files.begin() + static_cast<ptrdiff_t>(first), files.begin() + static_cast<ptrdiff_t>(last)}, found);
    first = last;
  }
  if (!looks_for_processes) return found;
  for (int pid : session_.processes(command_.pid, command_.was_short)) {
    bool is_known = std::any_of(files.begin(), files.end(),
                                [&](const LedgerFile& file) { return is_of(file, pid, command_.pid_namespace); });
    if (!is_known && is_running(pid, 0)) {
      found.running.insert(pid);
      found.without_ledger.insert(pid);
    }
  }
  return found;
}

void LedgerSweep::run() {
  Found& found = found_;
  for (int waited = 0; waited < kGraceMilliseconds; waited += kGraceStepMilliseconds) {
    found = sweep_once(found.pending, true);
    if (found.running.empty()) break;
    poll(nullptr, 0, kGraceStepMilliseconds);
  }
  // From here on no process leaves a ledger to the launcher; ledgers left since the last look are found now.
  bool looks_for_processes = !found.running.empty();
  for (const LedgerFile& file : session_.stop_taking()) found.pending.insert(key_of(file));
  for (int waited = 0; waited <= kGraceMilliseconds; waited += kGraceStepMilliseconds) {
    found = sweep_once(found.pending, looks_for_processes);
    if (!found.unsettled) break;
    poll(nullptr, 0, kGraceStepMilliseconds);
  }
}

}  // namespace unfreed::cli
