// Writes a report. The library and the command write all files for users in this one way.
//
//     open() ─▶ write() … ─▶ keep()          a reader sees the whole report or none of it
//
// The file is made under a temporary name beside its final one (O_EXCL, mode 0600), and renamed when it is complete.
// Whatever already has the final name is examined first: a report or an empty file is replaced, nothing else.
// A file that is not a regular one (a FIFO, a terminal, /dev/null) is written to, and never replaced or waited for.
//
// Reports of several processes that share a name do not replace one another. A run is a process that was started by
// `unfreed run` or with the library preloaded, and all its descendants. The first process uses the name as given, the
// others put their pid before the extension: service.4032.json. If a report of that name exists already:
//
//     it is by the same process                        it is replaced: the new one has more
//     by another process of the same run               it stays; this one gets the pid too, or a number
//     by another run, written since this one started   it stays: both ran at the same time
//     by an earlier run                                it is replaced, as when a service restarts
//
// Examining and taking the name are atomic among processes that write reports: they lock the folder.
//
// System calls alone, no allocation; large, so the caller provides its memory. Async-signal-safe; not thread-safe.
#pragma once

#include <sys/stat.h>

#include "base/bounded_write.h"
#include "base/place.h"
#include "report/author.h"

namespace unfreed::report {

/// A report's name, or path, with the pid before the extension, and a number if it is not 0.
void add_with_pid(base::TextBuilder& out, std::string_view path, int pid, unsigned number);
/// That of a report made because a limit, or a number of the user's, was reached, the `number`-th of its process:
/// nothing else takes its place. service.limit.json, service.limit.2.json
void add_with_limit(base::TextBuilder& out, std::string_view path, unsigned number);

struct ReportFileOptions {
  bool replaces_anything = false;  ///< --force: also a file that is no report
  bool only_files = false;         ///< what is no file is left alone: it has been written to
  bool only_at_once = false;       ///< nothing is written to what may keep the writer waiting
  bool appends = false;            ///< a file is added to, not replaced, whatever it is: nothing is lost by that
  const Author* author = nullptr;  ///< nullptr: the name is meant as it is, and no pid goes into it
  bool has_pid = false;            ///< the name has the author's pid already
  unsigned limit = 0;              ///< not 0: a file's name is add_with_limit() of the given one
  bool (*may_use_descriptor)(int descriptor) = nullptr;  ///< is one of this process still what its user means?
  int patience_ms = 2000;             ///< for a FIFO or device, each time that nothing can be written
  int descriptor_patience_ms = 2000;  ///< the same for a descriptor of this process
};

class ReportFile {
 public:
  ReportFile() = default;
  ~ReportFile() { discard(); }
  ReportFile(const ReportFile&) = delete;
  ReportFile& operator=(const ReportFile&) = delete;

  /// "-" is standard output. `options` and what they refer to are kept.
  base::FileProblem open(std::string_view path, const ReportFileOptions& options);
  /// The same for a descriptor of this process, which stays open.
  base::FileProblem open_descriptor(int descriptor, const ReportFileOptions& options);
  /// After a problem nothing more is written, and every call returns that problem.
  base::FileProblem write(std::string_view piece);
  /// Everything has been written: gives the file its name.
  base::FileProblem keep();
  /// Removes what was written of a file that was not kept.
  void discard();

  /// Its path (after keep()), or the path that it should have had: for messages.
  std::string_view path() const { return {path_, path_bytes_}; }
  /// Was a report replaced that another process wrote seconds ago, of another run as far as is known?
  bool has_replaced_recent() const { return has_replaced_recent_; }

 private:
  /// How to treat an existing file of the name.
  enum class Verdict : uint8_t { is_free, replace, leave, refuse };

  base::FileProblem fail(base::FileProblem problem);
  base::FileProblem skip();
  base::FileProblem open_stream(const struct stat& folder, const struct stat& found);
  base::FileProblem open_to_append(const struct stat& folder, const struct stat* found);
  base::FileProblem make_temporary();
  bool name_after_limit();
  bool build_name(unsigned attempt);
  Verdict judge(bool is_given_name, struct stat& found, base::FileProblem& problem);
  Verdict judge_report(const struct stat& found, base::FileProblem& problem);
  base::FileProblem take_name();
  base::FileProblem close_file();
  base::FileProblem rename_to_name(bool replaces);
  void note_path(unsigned attempt);

  ReportFileOptions options_;
  base::Place place_;
  base::FileProblem problem_;
  long fd_ = -1;
  int patience_ms_ = 0;
  bool is_stream_ = false;   ///< the output is not a regular file
  bool is_skipped_ = false;  ///< options_.only_files
  bool closes_ = false;      ///< fd_ is this object's own
  bool has_replaced_recent_ = false;
  char temporary_[48] = "";       ///< its name in the folder; "" none
  char name_[NAME_MAX + 1] = "";  ///< the one it is to get, which may differ from place_.name
  char path_[PATH_MAX + NAME_MAX];
  size_t path_bytes_ = 0;
  char bytes_[64 * 1024];  ///< to find the place with, then for the start of the file that has its name
};

}  // namespace unfreed::report
