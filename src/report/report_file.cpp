#include "report/report_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include <cstring>

#include "base/descriptor_name.h"
#include "base/syscall.h"
#include "report/report_head.h"
#include "settings/settings.h"

namespace unfreed::report {

using base::failed;
using base::FileProblem;
using base::is_error;
using base::raw_syscall;

namespace {

constexpr const char* kNoReport =
    "a file of this name exists and is not a report (--force, or UNFREED_FORCE=1, replaces it)";
constexpr const char* kUnreadable =
    "a file of this name exists and cannot be examined (--force, or UNFREED_FORCE=1, replaces it)";
constexpr const char* kForeign = "the file of this name belongs to another user, in a world-writable directory";
constexpr const char* kNoReader = "no process reads the FIFO";
constexpr const char* kFileLimit = "the file size limit (ulimit -f) is too low";
constexpr const char* kOtherDescriptor = "the program has replaced this descriptor since it was started";
constexpr const char* kMayWait = "writing it may take long";
constexpr const char* kTooMany = "too many reports have this name; add %p, the pid, to it";

long stat_at(long folder, const char* name, struct stat& out) {
  return raw_syscall(SYS_newfstatat, folder, reinterpret_cast<long>(name), reinterpret_cast<long>(&out),
                     AT_SYMLINK_NOFOLLOW);
}

long open_at(long folder, const char* name, int flags, int mode = 0) {
  return raw_syscall(SYS_openat, folder, reinterpret_cast<long>(name), flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, mode);
}

long rename_at(long folder, const char* from, const char* to, unsigned flags) {
  return raw_syscall(SYS_renameat2, folder, reinterpret_cast<long>(from), folder, reinterpret_cast<long>(to), flags);
}

void unlink_at(long folder, const char* name) { raw_syscall(SYS_unlinkat, folder, reinterpret_cast<long>(name), 0); }

uint64_t random_number() {
  uint64_t number = 0;
  constexpr long kDoNotWait = 1;  // GRND_NONBLOCK
  long size = raw_syscall(SYS_getrandom, reinterpret_cast<long>(&number), sizeof number, kDoNotWait);
  return size == sizeof number ? number : base::realtime_ns() ^ base::monotonic_ns() << 32;
}

uint64_t written_ns(const struct stat& file) {
  return static_cast<uint64_t>(file.st_mtim.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(file.st_mtim.tv_nsec);
}

/// The folder's lock, if it is free at once or soon: others may hold it for reasons of their own, and not
/// every file system has one. What is done without it is safe, but for two reports that replace an older one at once.
class FolderLock {
 public:
  FolderLock(long folder, bool may_wait) : fd_(open_at(folder, ".", O_RDONLY | O_DIRECTORY)) {
    constexpr int kMostTries = 200;
    for (int tries = 0; fd_ >= 0 && tries < kMostTries; ++tries) {
      long result = raw_syscall(SYS_flock, fd_, LOCK_EX | LOCK_NB);
      is_anothers_ = result == -EAGAIN;
      if (!is_anothers_ && result != -EINTR) return;
      if (!may_wait) return;
      timespec moment{0, 1'000'000};
      raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&moment), 0);
    }
  }
  ~FolderLock() {
    if (fd_ >= 0) base::close_file(fd_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  bool is_anothers() const { return is_anothers_; }

 private:
  long fd_;
  bool is_anothers_ = false;
};

/// As much of a file's start as fits; nothing where it cannot be read.
std::string_view read_start(long file, std::span<char> out) {
  size_t size = 0;
  while (size < out.size()) {
    long got = raw_syscall(SYS_pread64, file, reinterpret_cast<long>(out.data() + size),
                           static_cast<long>(out.size() - size), static_cast<long>(size));
    if (got == -EINTR) continue;
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  return {out.data(), size};
}

bool is_same_run(const ReportHead& head, const Author& author) { return !author.run.empty() && head.run == author.run; }

bool is_by(const ReportHead& head, const Author& author) {
  // A run has one first process, which may have become another program since; of others a pid may come round again.
  return head.pid == author.pid && (head.started == author.started || (author.is_first && is_same_run(head, author)));
}

}  // namespace

FileProblem ReportFile::fail(FileProblem problem) {
  if (!problem_) problem_ = problem.error == EFBIG ? FileProblem{kFileLimit} : problem;
  discard();
  return problem_;
}

FileProblem ReportFile::open(std::string_view path, const ReportFileOptions& options) {
  int descriptor = path == kStandardOutput ? 1 : base::descriptor_of(path);
  base::TextBuilder shown(path_);
  path_bytes_ = shown.add(path).size();
  if (descriptor >= 0) return open_descriptor(descriptor, options);
  options_ = options;
  patience_ms_ = options.patience_ms;
  FileProblem problem = base::find_place(path, bytes_, place_);
  if (problem) return fail(problem);
  if (place_.descriptor >= 0) return open_descriptor(place_.descriptor, options);
  struct stat folder {};
  struct stat found {};
  raw_syscall(SYS_fstat, place_.folder, reinterpret_cast<long>(&folder));
  long result = stat_at(place_.folder, place_.name, found);
  if (is_error(result) && result != -ENOENT) return fail(failed(result));
  bool is_file = is_error(result) || S_ISREG(found.st_mode);
  if (options.only_at_once && !(is_file && base::is_local(place_.folder))) return fail({kMayWait});
  if (options.appends && is_file) return open_to_append(folder, is_error(result) ? nullptr : &found);
  if (is_file) return name_after_limit() ? make_temporary() : fail(failed(-ENAMETOOLONG));
  if (S_ISDIR(found.st_mode)) return fail(failed(-EISDIR));
  return open_stream(folder, found);
}

FileProblem ReportFile::open_descriptor(int descriptor, const ReportFileOptions& options) {
  if (options.only_files) return skip();
  if (options.only_at_once) return fail({kMayWait});
  options_ = options;
  patience_ms_ = options.descriptor_patience_ms;
  fd_ = descriptor;
  is_stream_ = true;
  closes_ = false;
  struct stat status {};
  long result = raw_syscall(SYS_fstat, fd_, reinterpret_cast<long>(&status));
  if (is_error(result)) return fail(failed(result));
  if (options.may_use_descriptor && !options.may_use_descriptor(descriptor)) return fail({kOtherDescriptor});
  return {};
}

FileProblem ReportFile::open_stream(const struct stat& folder, const struct stat& found) {
  if (!S_ISFIFO(found.st_mode) && !S_ISCHR(found.st_mode))
    return fail({S_ISBLK(found.st_mode) ? "it is a block device" : "it is a socket"});
  if (options_.only_files) return skip();
  if (!base::is_trusted(folder, found.st_uid)) return fail({kForeign});
  fd_ = open_at(place_.folder, place_.name, O_WRONLY | O_NONBLOCK);
  if (is_error(fd_)) return fail(fd_ == -ENXIO && S_ISFIFO(found.st_mode) ? FileProblem{kNoReader} : failed(fd_));
  is_stream_ = closes_ = true;
  struct stat opened {};
  raw_syscall(SYS_fstat, fd_, reinterpret_cast<long>(&opened));
  if ((opened.st_mode & S_IFMT) != (found.st_mode & S_IFMT)) return fail(failed(-EAGAIN));  // another one by now
  return {};
}

FileProblem ReportFile::open_to_append(const struct stat& folder, const struct stat* found) {
  if (found && !base::is_trusted(folder, found->st_uid)) return fail({kForeign});
  fd_ = open_at(place_.folder, place_.name, O_WRONLY | O_APPEND | O_NONBLOCK | (found ? 0 : O_CREAT | O_EXCL), 0600);
  if (is_error(fd_)) return fail(failed(fd_));
  is_stream_ = closes_ = true;
  return {};
}

FileProblem ReportFile::skip() {
  is_stream_ = is_skipped_ = true;
  return {};
}

FileProblem ReportFile::make_temporary() {
  constexpr int kMostTries = 8;
  for (int tries = 0; tries < kMostTries; ++tries) {
    base::TextBuilder name(temporary_);
    name.add(".unfreed-").add_signed(base::current_pid()).add('-').add_hex(random_number()).add(".tmp");
    fd_ = open_at(place_.folder, temporary_, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd_ == -EEXIST) continue;
    closes_ = !is_error(fd_);
    if (closes_) return {};
    break;
  }
  temporary_[0] = '\0';
  return fail(failed(fd_));
}

FileProblem ReportFile::write(std::string_view piece) {
  if (problem_ || is_skipped_) return problem_;
  // Who waits for the reader of its standard output ends with it, as programs do.
  base::HeldWriteSignals held(patience_ms_ == base::kForever ? base::kFileSizeSignal : base::kWriteSignals);
  FileProblem problem = base::write_bounded(fd_, piece, patience_ms_);
  return problem ? fail(problem) : FileProblem{};
}

FileProblem ReportFile::keep() {
  if (problem_) return problem_;
  if (!is_stream_) return take_name();
  FileProblem problem = close_file();
  return problem ? fail(problem) : FileProblem{};
}

void ReportFile::discard() {
  if (closes_) base::close_file(fd_);
  fd_ = -1;
  closes_ = false;
  if (temporary_[0]) unlink_at(place_.folder, temporary_);
  temporary_[0] = '\0';
  if (place_.folder >= 0) base::close_file(place_.folder);
  place_.folder = -1;
}

namespace {
/// What follows goes before the extension. A dot that starts a name makes a hidden file.
size_t extension_start(std::string_view path) {
  size_t name_start = path.size() - base::base_name(path).size();
  size_t dot = path.rfind('.');
  return dot == path.npos || dot <= name_start ? path.size() : dot;
}
}  // namespace

void add_with_pid(base::TextBuilder& out, std::string_view path, int pid, unsigned number) {
  size_t dot = extension_start(path);
  out.add(base::slice(path, 0, dot)).add('.').add_signed(pid);
  if (number) out.add('.').add_number(number);
  out.add(base::slice(path, dot));
}

void add_with_limit(base::TextBuilder& out, std::string_view path, unsigned number) {
  size_t dot = extension_start(path);
  out.add(base::slice(path, 0, dot)).add(".limit");
  if (number > 1) out.add('.').add_number(number);
  out.add(base::slice(path, dot));
}

bool ReportFile::name_after_limit() {
  if (!options_.limit) return true;
  base::FixedText<sizeof place_.name> name;
  add_with_limit(name, place_.name, options_.limit);
  base::TextBuilder(place_.name).add(name.text());
  return !name.cut();
}

/// The given name; that with the pid before the extension; with a number, too. False: it gets too long.
bool ReportFile::build_name(unsigned attempt) {
  std::string_view given(place_.name);
  base::TextBuilder name(name_);
  if (attempt == 0) {
    name.add(given);
  } else if (!options_.has_pid) {
    add_with_pid(name, given, options_.author->pid, attempt > 1 ? attempt : 0);
  } else {
    size_t dot = extension_start(given);
    name.add(base::slice(given, 0, dot)).add('.').add_number(attempt + 1).add(base::slice(given, dot));
  }
  return !name.cut();
}

/// May the report that has the name be replaced? `found` is the file's.
ReportFile::Verdict ReportFile::judge_report(const struct stat& found, FileProblem& problem) {
  const Author* author = options_.author;
  long file = open_at(place_.folder, name_, O_RDONLY | O_NONBLOCK);
  Verdict of_others = options_.replaces_anything ? Verdict::replace : Verdict::refuse;
  problem = {kUnreadable};
  if (is_error(file)) return of_others;
  std::string_view start = read_start(file, bytes_);
  base::close_file(file);
  if (start.empty() && found.st_size > 0) return of_others;
  ReportHead head = read_head(start);
  problem = {kNoReport};
  if (head.content == Content::foreign) return of_others;
  if (!author || head.content == Content::nothing || is_by(head, *author)) return Verdict::replace;
  if (is_same_run(head, *author) || written_ns(found) >= author->began_realtime_ns) return Verdict::leave;
  constexpr uint64_t kRecentNs = 5'000'000'000;
  has_replaced_recent_ = written_ns(found) + kRecentNs > base::realtime_ns();
  return Verdict::replace;
}

ReportFile::Verdict ReportFile::judge(bool is_given_name, struct stat& found, FileProblem& problem) {
  struct stat folder {};
  raw_syscall(SYS_fstat, place_.folder, reinterpret_cast<long>(&folder));
  long result = stat_at(place_.folder, name_, found);
  if (result == -ENOENT) return Verdict::is_free;
  bool is_file = !is_error(result) && S_ISREG(found.st_mode);
  // Only the name that was given can be refused; if another is taken, the next one will do.
  Verdict otherwise = is_given_name ? Verdict::refuse : Verdict::leave;
  problem = is_error(result) ? failed(result) : FileProblem{kNoReport};
  if (!is_file) return otherwise;
  problem = {kForeign};
  if (!base::is_trusted(folder, found.st_uid)) return otherwise;
  Verdict verdict = judge_report(found, problem);
  return verdict == Verdict::refuse ? otherwise : verdict;
}

/// Gives the file the name in name_.
FileProblem ReportFile::rename_to_name(bool replaces) {
  constexpr unsigned kNoReplace = 1;  // RENAME_NOREPLACE
  long result = rename_at(place_.folder, temporary_, name_, replaces ? 0 : kNoReplace);
  if (!replaces && (result == -EINVAL || result == -ENOSYS)) {
    // A file system that does not know it; a second name does the same.
    result = raw_syscall(SYS_linkat, place_.folder, reinterpret_cast<long>(temporary_), place_.folder,
                         reinterpret_cast<long>(name_), 0);
    if (!is_error(result))
      unlink_at(place_.folder, temporary_);
    else if (result != -EEXIST)  // nor does it know second names
      result = raw_syscall(SYS_renameat, place_.folder, reinterpret_cast<long>(temporary_), place_.folder,
                           reinterpret_cast<long>(name_));
  }
  if (is_error(result)) return failed(result);
  temporary_[0] = '\0';
  return {};
}

/// A full disk may be reported only now.
FileProblem ReportFile::close_file() {
  if (!closes_) return {};
  long result = raw_syscall(SYS_close, fd_);
  fd_ = -1;
  closes_ = false;
  return is_error(result) && result != -EINTR ? failed(result) : FileProblem{};
}

FileProblem ReportFile::take_name() {
  FolderLock lock(place_.folder, !options_.only_at_once);
  if (options_.only_at_once && lock.is_anothers()) return fail({kMayWait});
  constexpr unsigned kMostAttempts = 1000;
  bool has_given_name = !options_.author || options_.author->is_first || options_.has_pid;
  for (unsigned attempt = has_given_name ? 0 : 1, tries = 0; attempt < kMostAttempts; ++attempt) {
    if (!build_name(attempt)) return fail(failed(-ENAMETOOLONG));
    struct stat found {};
    FileProblem problem;
    Verdict verdict = judge(attempt == 0, found, problem);
    if (verdict == Verdict::refuse) return fail(problem);
    if (verdict == Verdict::leave) {
      if (!options_.author) return fail(problem);
      continue;
    }
    // A file keeps the permissions that its owner has given it.
    bool is_own = verdict == Verdict::replace && found.st_uid == static_cast<unsigned>(raw_syscall(SYS_geteuid));
    if (is_own && closes_) raw_syscall(SYS_fchmod, fd_, found.st_mode & 0666);
    problem = close_file();
    if (!problem) problem = rename_to_name(verdict == Verdict::replace);
    if (problem.error == EEXIST && ++tries < kMostAttempts) {
      --attempt;  // a writer without the lock was faster: check again
      continue;
    }
    if (problem) return fail(problem);
    note_path(attempt);
    discard();
    return {};
  }
  return fail({kTooMany});
}

/// The path that is shown has the name that was taken.
void ReportFile::note_path(unsigned attempt) {
  if (attempt == 0 && !options_.limit) return;
  std::string_view shown = base::slice({path_, path_bytes_}, 0, path_bytes_ - base::base_name(path()).size());
  base::FixedText<32> link;
  link.add("/proc/self/fd/").add_signed(place_.folder);
  // The file is beside what a link led to, not beside the link.
  long size = place_.is_followed ? raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(link.c_str()),
                                               reinterpret_cast<long>(bytes_), PATH_MAX - 1)
                                 : 0;
  if (size > 0) {
    bytes_[size] = '/';
    shown = {bytes_, static_cast<size_t>(size) + 1};
  }
  std::memmove(path_, shown.data(), shown.size());
  base::TextBuilder path(std::span<char>(path_ + shown.size(), sizeof path_ - shown.size()));
  path_bytes_ = shown.size() + path.add(name_).size();
}

}  // namespace unfreed::report
