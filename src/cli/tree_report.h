// The reports of a run: which of CMD and its descendants get one, where it is written, and what is printed for the
// user.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "cli/ledger_files.h"
#include "cli/ledger_report.h"
#include "cli/run_outputs.h"
#include "cli/suppression_files.h"
#include "cli/untracked_programs.h"
#include "ledger/writer.h"
#include "settings/settings.h"

namespace unfreed::cli {

class TreeReport {
 public:
  /// `settings` and `suppressions` must outlive it.
  TreeReport(const report::Settings& settings, std::string output_template, const SuppressionFiles& suppressions,
             bool all_reports, bool colour)
      : settings_(settings),
        output_template_(std::move(output_template)),
        suppressions_(suppressions),
        all_reports_(all_reports),
        colour_(colour),
        untracked_(settings) {}

  /// A process other than CMD has ended (or, `post_mortem`, was found gone). Reads and removes its ledger.
  void add_other(const LedgerFile& file, bool post_mortem);
  /// CMD has ended; the ledger of its last image. Call it after all others, and after all untracked programs.
  void add_command(const LedgerFile& file, bool post_mortem, int wait_status);
  /// A process that `unfreed attach` has traced, or (`is_target` false) one that this has started.
  void add_attached(const LedgerFile& file, bool is_target);
  /// CMD left no ledger: makes a report that says so. `words`: its command line.
  void add_command_without_ledger(const std::vector<std::string>& words, int pid, uint64_t started_ns, int wait_status);
  /// A process whose last tracked image executed another program. Its ledger is removed.
  void add_replaced(const LedgerFile& file);
  UntrackedPrograms& untracked() { return untracked_; }
  /// The looks at a process that is running are recorded there (cli/process_watch.h). The series of a process without a
  /// report is removed.
  void add_series(int pid, const std::string& path) { series_[pid] = path; }
  /// Where they are to be recorded, as a template.
  std::string series_template(int pid, bool is_command) const;
  /// A process that is still running.
  void add_running(int pid, bool is_traced);

  const std::vector<std::string>& running() const { return running_; }

  size_t tracked() const { return tracked_; }
  bool has_command() const { return has_command_; }
  bool broken() const { return broken_; }
  bool unchecked() const { return unchecked_; }
  /// Rules were for one of the processes, at least.
  bool judged() const { return judged_; }
  bool failed() const { return failed_; }
  /// Forked processes that had no ledger to be read here.
  uint64_t unseen() const { return unseen_; }

  /// What `--write` asks for, from the reports that have been written. False: a line has been printed.
  bool write_outputs(const std::vector<RunOutput>& outputs);

  /// The summary at the end: CMD's, the other processes that hold something, and where the reports are.
  std::string summary() const;

 private:
  struct Line {
    std::string process;  ///< "worker (pid 4032)"
    int pid = 0;
    std::string text;    ///< what its rules came to, or what it holds, and what it was started as
    std::string places;  ///< the worst call site of each broken rule; "" none
    std::string kind;    ///< the same for processes that are alike
    std::string report;  ///< its file; "" none
    bool is_outside_rules = false;
  };
  void complete_earlier(const ledger::View& view, bool is_command);
  void complete_earlier(const ledger::View& view, const std::string& path);
  void count_clean(const report::Report& report) {
    clean_ += settings_.rules.count > 0 && !report.process.outside_rules;
  }
  void add(const LedgerFile& file, bool is_command, report::Trigger trigger, int wait_status);
  void add_growth(const LedgerFile& file, const ledger::View& view, OwnedReport& made) const;
  void remove_series(int pid);
  void report_on(const LedgerFile& file, const ledger::View& view, const ReportRequest& request, bool is_command);
  bool write(const ledger::View& view, bool is_command, const report::Report& report, std::string& path,
             std::string& error);
  void describe_other(const report::Report& report, const std::string& path);
  void note_suppressions(const report::Report& report);
  std::string describe_unused_suppressions() const;
  std::string describe_others() const;
  void cover_program(const ledger::Writer& writer, const std::string& exe);
  void show_command(const report::Report& report, const std::string& path);

  const report::Settings& settings_;
  std::string output_template_;
  const SuppressionFiles& suppressions_;
  bool all_reports_;
  bool colour_;  ///< of the summary
  UntrackedPrograms untracked_;
  std::map<std::string, std::string> allocators_;  ///< linked into programs, by path; "" none
  symbolize::Symbolizer symbolizer_;
  std::set<std::string> used_suppressions_;  ///< their lines
  std::set<std::string> kept_;               ///< ledgers whose report failed, so that each is reported once
  std::map<int, std::string> series_;        ///< by process
  std::string command_summary_;
  std::string command_path_;
  std::vector<Line> others_;
  std::vector<Line> earlier_;  ///< reports that processes have made themselves while they ran
  std::vector<std::string> running_;
  size_t tracked_ = 0;
  uint64_t clean_ = 0;  ///< other processes that rules were for and that have no report
  uint64_t unseen_ = 0;
  bool has_command_ = false;
  bool broken_ = false;
  bool unchecked_ = false;
  bool judged_ = false;
  bool failed_ = false;
};

}  // namespace unfreed::cli
