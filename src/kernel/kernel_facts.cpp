#include "kernel/kernel_facts.h"

#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#ifndef STATX_INO  // musl before 1.2.4
#include <linux/stat.h>
#endif

#include <cstddef>
#include <new>

#include "base/address_space.h"
#include "base/live_thread.h"
#include "base/numbered_entries.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"
#include "kernel/socket_text.h"
#include "ledger/view.h"

namespace unfreed::report {

namespace {

using base::is_error;
using base::raw_syscall;
using ledger::KernelFd;
using ledger::SectionId;

long as_argument(const void* pointer) { return reinterpret_cast<long>(pointer); }

using Path = base::FixedText<64>;

/// A process whose descriptors are looked at.
class Subject {
 public:
  explicit Subject(int pid) : pid_(pid == base::current_pid() ? 0 : pid) {
    thread_ = is_self() ? base::current_tid() : base::live_thread(pid_);
    asks_thread_ = thread_ != (is_self() ? base::current_pid() : pid_);
  }

  bool is_self() const { return pid_ == 0; }

  void add_path(std::string_view entry, base::TextBuilder& path) const {
    path.add("/proc/");
    if (is_self()) {
      path.add(asks_thread_ ? "thread-self" : "self");
    } else {
      path.add_signed(pid_);
      if (asks_thread_) path.add("/task/").add_signed(thread_);
    }
    path.add('/').add(entry);
  }
  long open_pidfd() const {
    constexpr long kOfThread = O_EXCL;  // PIDFD_THREAD, Linux 6.9
    return raw_syscall(SYS_pidfd_open, thread_, asks_thread_ ? kOfThread : 0);
  }
  /// What the descriptor's link says; returns its length or −errno.
  long read_link(int fd, std::span<char> out) const {
    Path path;
    add_path("fd/", path);
    path.add_signed(fd);
    return raw_syscall(SYS_readlinkat, AT_FDCWD, as_argument(path.c_str()), as_argument(out.data()),
                       static_cast<long>(out.size()));
  }
  base::Openness openness_of(int fd) const {
    if (is_self()) return base::openness_of(fd);
    char byte;
    long size = read_link(fd, {&byte, 1});
    if (size == -ENOENT || size == -ESRCH) return base::Openness::closed;
    return is_error(size) ? base::Openness::unknown : base::Openness::open;
  }
  bool is_closed(int fd) const { return openness_of(fd) == base::Openness::closed; }

 private:
  int pid_;  ///< 0: this one
  int thread_;
  bool asks_thread_;  ///< as the main thread may have ended, and has nothing then
};

/// Is it an eventfd's text in fdinfo, with a count (in hexadecimal) that is not 0?
bool has_count(std::string_view info) {
  constexpr std::string_view kCount = "eventfd-count:";
  size_t at = info.find(kCount);
  if (at == std::string_view::npos) return false;
  for (at += kCount.size(); at < info.size() && info[at] != '\n'; ++at)
    if (info[at] != ' ' && info[at] != '\t' && info[at] != '0') return true;
  return false;
}

/// Status flags and close-on-exec of one descriptor, if the kernel says. Is it (still) open?
base::Openness read_flags(const Subject& subject, int fd, KernelFd& out) {
  using base::Openness;
  if (subject.is_self()) {
    long descriptor_flags = raw_syscall(SYS_fcntl, fd, F_GETFD);
    long status_flags = raw_syscall(SYS_fcntl, fd, F_GETFL);
    if (descriptor_flags == -EBADF) return Openness::closed;
    if (is_error(descriptor_flags) || is_error(status_flags)) return Openness::unknown;
    out.status_flags = static_cast<uint32_t>(status_flags);
    out.flags = descriptor_flags & FD_CLOEXEC ? ledger::kKernelFdCloexec : 0;
    return Openness::open;
  }
  Path path;
  subject.add_path("fdinfo/", path);
  path.add_signed(fd);
  char info[512];
  long size = base::read_file(path.c_str(), info, sizeof info);
  if (size == -ENOENT || size == -ESRCH) return Openness::closed;
  constexpr std::string_view kFlags = "flags:\t";
  std::string_view text(info, size < 0 ? 0 : static_cast<size_t>(size));
  size_t at = text.find(kFlags);
  if (at == std::string_view::npos) return Openness::unknown;
  uint32_t flags = 0;
  for (at += kFlags.size(); at < text.size() && text[at] >= '0' && text[at] <= '7'; ++at)
    flags = flags << 3 | static_cast<uint32_t>(text[at] - '0');
  out.flags = flags & O_CLOEXEC ? ledger::kKernelFdCloexec : 0;
  out.status_flags = flags & ~static_cast<uint32_t>(O_CLOEXEC);
  if (has_count(text)) out.flags |= ledger::kKernelFdUnread;
  if (text.find("\nlock:") != std::string_view::npos) out.flags |= ledger::kKernelFdLocked;
  return Openness::open;
}

/// A descriptor of another process, as one of our own for as long as it takes to look at it. Closing ours does nothing
/// to theirs.
class BorrowedFd {
 public:
  BorrowedFd(const Subject& subject, int fd) {
    long process = subject.open_pidfd();
    if (is_error(process)) return;
    fd_ = raw_syscall(SYS_pidfd_getfd, process, fd, 0);
    base::close_file(process);
  }
  ~BorrowedFd() {
    if (!is_error(fd_)) base::close_file(fd_);
  }
  BorrowedFd(const BorrowedFd&) = delete;
  BorrowedFd& operator=(const BorrowedFd&) = delete;
  long get() const { return fd_; }  ///< or −errno

 private:
  long fd_ = -EBADF;
};

bool describe_foreign_socket(const Subject& subject, int fd, base::TextBuilder& out) {
  BorrowedFd socket(subject, fd);
  return !is_error(socket.get()) && describe_socket(socket.get(), out);
}

/// Has everybody closed the other end of this pipe? (Ours is one more of the same end.)
bool is_hung_up(const Subject& subject, int fd) {
  BorrowedFd pipe(subject, fd);
  if (is_error(pipe.get())) return false;
  pollfd asked{static_cast<int>(pipe.get()), 0, 0};
  timespec at_once{};
  long answered = raw_syscall(SYS_ppoll, as_argument(&asked), 1, as_argument(&at_once), 0, 0);
  return answered == 1 && (asked.revents & (POLLHUP | POLLERR));
}

/// Which file, on this machine. No file system has the device number 0.
struct FileId {
  uint64_t inode = 0;
  uint64_t device = 0;
  bool operator==(const FileId&) const = default;
};

/// What the file behind a descriptor takes on its disk, and which file it is. Nothing is asked of a server that may not
/// answer.
struct DiskUse {
  uint64_t bytes = 0;
  FileId file;
};
DiskUse read_disk_use(const Subject& subject, int fd) {
  Path path;
  subject.add_path("fd/", path);
  path.add_signed(fd);
  struct statx status {};
  constexpr unsigned kWanted = STATX_BLOCKS | STATX_INO | STATX_TYPE;
  if (is_error(raw_syscall(SYS_statx, AT_FDCWD, as_argument(path.c_str()), AT_STATX_DONT_SYNC, kWanted,
                           as_argument(&status))))
    return {};
  if ((status.stx_mode & S_IFMT) != S_IFREG) return {};
  constexpr uint64_t kSectorBytes = 512;
  return {status.stx_blocks * kSectorBytes,
          {status.stx_ino, uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor}};
}

bool starts_with(std::string_view text, std::string_view start) { return base::slice(text, 0, start.size()) == start; }

/// "anon_inode:[eventfd]" and "anon_inode:inotify" → their names.
std::string_view anonymous_name(std::string_view link) {
  std::string_view name = base::slice(link, std::string_view("anon_inode:").size());
  if (!name.empty() && name.front() == '[') name.remove_prefix(1);
  if (!name.empty() && name.back() == ']') name.remove_suffix(1);
  return name == "eventpoll" ? std::string_view("epoll") : name;
}

void describe_link(const Subject& subject, int fd, std::string_view link, base::TextBuilder& out) {
  constexpr std::string_view kDeleted = " (deleted)";
  constexpr std::string_view kMemory = "/memfd:";
  if (starts_with(link, "socket:[")) {
    bool described = subject.is_self() ? describe_socket(fd, out) : describe_foreign_socket(subject, fd, out);
    if (!described) out.add(link);
  } else if (starts_with(link, "anon_inode:")) {
    out.add(anonymous_name(link));
  } else if (starts_with(link, "pidfd:[")) {
    out.add("pidfd");  // Linux 6.9 gave them a file system of their own
  } else if (starts_with(link, kMemory)) {
    link.remove_prefix(1);
    if (link.size() >= kDeleted.size() && base::slice(link, link.size() - kDeleted.size()) == kDeleted)
      link.remove_suffix(kDeleted.size());
    out.add(link);
  } else {
    out.add(link);
  }
}

/// Without /proc: sockets and pipes can still be asked themselves.
void describe_without_link(int fd, base::TextBuilder& out) {
  struct stat status {};
  if (is_error(raw_syscall(SYS_fstat, fd, as_argument(&status)))) return;
  if (S_ISSOCK(status.st_mode)) describe_socket(fd, out);
  if (S_ISFIFO(status.st_mode)) out.add("pipe:[").add_number(status.st_ino).add(']');
}

/// Puts targets into the ledger's texts, the same text only once as far as that is cheap to know: a service that leaks
/// descriptors of one file, and reports many times, must not fill the section.
class TargetTexts {
 public:
  explicit TargetTexts(ledger::Writer& writer) : writer_(writer) {
    size_t bytes = writer.header().file_bytes;
    can_read_ = !ledger::View::open({static_cast<const std::byte*>(writer.base()), bytes}, view_, writer.backed());
  }

  ledger::StringRef place(std::string_view text) {
    if (text.empty()) return 0;
    ledger::StringRef& recent = slot(text);
    if (recent != 0 && can_read_ && view_.text(recent) == text) return recent;
    // The last quarter is left to names that stacks need.
    const ledger::Section& strings = writer_.section(SectionId::strings);
    if (strings.count.load(std::memory_order_relaxed) > strings.capacity / 4 * 3) {
      writer_.drop(ledger::Dropped::strings_full);
      return 0;
    }
    recent = writer_.add_text(text);
    return recent;
  }
  /// A text from an earlier list.
  void remember(ledger::StringRef ref) {
    std::string_view text = can_read_ ? view_.text(ref) : std::string_view();
    if (!text.empty()) slot(text) = ref;
  }

 private:
  static constexpr size_t kRecent = 4096;

  ledger::StringRef& slot(std::string_view text) {
    uint64_t hash = base::hash_text(text);
    return recent_[(hash ^ hash >> 32) % kRecent];
  }

  ledger::Writer& writer_;
  ledger::View view_;
  bool can_read_ = false;
  ledger::StringRef recent_[kRecent] = {};
};

/// Memory that a signal handler's stack need not have.
struct WorkMemory {
  alignas(8) char entries[32 * 1024];  ///< directory entries
  char link[4096];
  char target[4096 + 64];
  FileId deleted[512];  ///< deleted files that are counted, a hash table: see ListBuilder::add_state()
};

/// Fills in the list, record by record.
class ListBuilder {
 public:
  ListBuilder(ledger::Writer& writer, const Subject& subject, TargetTexts& texts, WorkMemory& memory)
      : writer_(writer), subject_(subject), texts_(texts), memory_(memory) {}

  /// False when the whole list could not be read.
  bool build() {
    Path path;
    subject_.add_path("fd", path);
    long directory = base::open_file(path.c_str(), O_RDONLY | O_DIRECTORY);
    if (!is_error(directory)) {
      bool whole = read_directory(directory);
      base::close_file(directory);
      if (whole) return true;
    }
    return subject_.is_self() && probe();
  }
  uint64_t count() const { return count_; }
  /// Those of which the kernel did not say what they lead to, or how they were opened.
  uint64_t unread() const { return unread_; }

 private:
  bool read_directory(long directory) {
    return base::each_numbered_entry(directory, memory_.entries, [&](int number) {
      return (subject_.is_self() && number == directory) || add(number);
    });
  }

  /// Asks for number after number: there is no free descriptor to open the directory with, or no /proc.
  bool probe() {
    constexpr uint64_t kMostProbed = 4u << 20;
    struct {
      uint64_t soft, hard;
    } limit{};
    if (is_error(raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, as_argument(&limit)))) return false;
    count_ = unread_ = 0;
    // Numbers beyond a limit that was lowered later are known to the table at most.
    uint64_t end = writer_.section(SectionId::fds).count.load(std::memory_order_relaxed);
    if (limit.soft > end) end = limit.soft;
    if (end > kMostProbed) return false;
    for (uint64_t number = 0; number < end; ++number) {
      base::Openness openness = subject_.openness_of(static_cast<int>(number));
      if (openness == base::Openness::unknown) return false;
      if (openness == base::Openness::open && !add(static_cast<int>(number))) return false;
    }
    return true;
  }

  bool add(int fd) {
    KernelFd found{};
    found.fd = fd;
    base::Openness openness = read_flags(subject_, fd, found);
    if (openness == base::Openness::closed) return true;
    base::TextBuilder target(memory_.target);
    long size = subject_.read_link(fd, memory_.link);
    if (!is_error(size) && !subject_.is_self())
      add_state(std::string_view(memory_.link, static_cast<size_t>(size)), found);
    if (!is_error(size))
      describe_link(subject_, fd, std::string_view(memory_.link, static_cast<size_t>(size)), target);
    else if (subject_.is_self())
      describe_without_link(fd, target);
    // One that was closed just now is not missing anything.
    if ((is_error(size) || openness == base::Openness::unknown) && !subject_.is_closed(fd)) ++unread_;
    auto* record = writer_.touch<KernelFd>(SectionId::kernel_fds, count_);
    if (!record) {
      writer_.drop(ledger::Dropped::kernel_fds_full);
      return false;
    }
    found.target = texts_.place(target.text());
    *record = found;
    ++count_;
    return true;
  }

  /// What the kernel says of the state that it is in. The process itself does not ask: it may be in a sandbox.
  void add_state(std::string_view link, KernelFd& found) {
    constexpr uint64_t kMostPipes = 256;
    if (starts_with(link, "pipe:[") && pipes_++ < kMostPipes && is_hung_up(subject_, found.fd))
      found.flags |= ledger::kKernelFdHungUp;
    if (!starts_with(link, "/") || starts_with(link, "/memfd:") || !link.ends_with(" (deleted)")) return;
    DiskUse use = read_disk_use(subject_, found.fd);
    if (use.file == FileId{} || !is_first_of(use.file)) return;
    uint64_t blocks = (use.bytes + ledger::kKernelFdDiskBlock - 1) / ledger::kKernelFdDiskBlock;
    constexpr uint64_t kMost = ~0u >> ledger::kKernelFdDiskShift;
    found.flags |= static_cast<uint32_t>(blocks < kMost ? blocks : kMost) << ledger::kKernelFdDiskShift;
  }
  /// False also of a file that finds no room: what is said of the disk is at least so much.
  bool is_first_of(FileId file) {
    constexpr size_t kRoom = std::size(decltype(WorkMemory::deleted){});
    for (size_t step = 0; step < kRoom; ++step) {
      FileId& place = memory_.deleted[((file.inode ^ file.device) * 0x9e3779b97f4a7c15u + step) % kRoom];
      if (place == file) return false;
      if (place != FileId{}) continue;
      place = file;
      return true;
    }
    return false;
  }

  ledger::Writer& writer_;
  const Subject& subject_;
  TargetTexts& texts_;
  WorkMemory& memory_;
  uint64_t pipes_ = 0;
  uint64_t count_ = 0;
  uint64_t unread_ = 0;
};

uint64_t used_records(const ledger::Writer& writer, SectionId id) {
  const ledger::Section& section = writer.section(id);
  uint64_t count = section.count.load(std::memory_order_acquire);
  return count < section.capacity ? count : section.capacity;
}

void remember_targets(const ledger::Writer& writer, TargetTexts& texts) {
  uint64_t count = used_records(writer, SectionId::kernel_fds);
  for (uint64_t index = 0; index < count; ++index)
    if (const auto* record = writer.touch<KernelFd>(SectionId::kernel_fds, index)) texts.remember(record->target);
}

bool build_list(ledger::Writer& writer, const Subject& subject) {
  struct Memory {
    explicit Memory(ledger::Writer& writer) : texts(writer) {}
    TargetTexts texts;
    WorkMemory work;
  };
  void* place = base::map_memory(sizeof(Memory));
  if (!place) return false;
  auto* memory = new (place) Memory(writer);
  remember_targets(writer, memory->texts);
  ListBuilder builder(writer, subject, memory->texts, memory->work);
  bool whole = builder.build();
  writer.section(SectionId::kernel_fds).count.store(whole ? builder.count() : 0, std::memory_order_release);
  writer.header().dropped[static_cast<uint32_t>(ledger::Dropped::targets_unread)].store(whole ? builder.unread() : 0);
  base::unmap_memory(place, sizeof(Memory));
  return whole;
}

/// Of the kernel's list.
template <class Keeps>
void keep_descriptors(const ledger::Writer& writer, Keeps keeps) {
  uint64_t count = used_records(writer, SectionId::kernel_fds);
  uint64_t kept = 0;
  for (uint64_t index = 0; index < count; ++index) {
    const auto* record = writer.touch<KernelFd>(SectionId::kernel_fds, index);
    if (!record) continue;
    KernelFd copy = *record;
    if (is_in_fd_table(writer, copy.fd) || keeps(copy.fd)) *writer.at<KernelFd>(SectionId::kernel_fds, kept++) = copy;
  }
  writer.section(SectionId::kernel_fds).count.store(kept, std::memory_order_release);
}

/// The kernel has these numbers at hand.
uint64_t read_private_bytes(const Subject& subject) {
  Path path;
  subject.add_path("statm", path);
  base::Statm pages;
  constexpr uint64_t kPageBytes = 4096;
  if (!base::read_statm(path.c_str(), pages) || pages.in_use < pages.shared) return 0;
  return (pages.in_use - pages.shared) * kPageBytes;
}

}  // namespace

bool take_kernel_facts(ledger::Writer& writer, int pid) {
  ledger::Header& header = writer.header();
  header.flags.fetch_and(~ledger::kHeaderFlagReconciled);
  Subject subject(pid);
  header.reconciled_monotonic_ns = base::monotonic_ns();
  header.private_bytes.store(read_private_bytes(subject), std::memory_order_relaxed);
  if (!build_list(writer, subject)) {
    writer.drop(ledger::Dropped::reconcile_failed);
    return false;
  }
  if (subject.is_self()) recheck_kernel_facts(writer, pid);
  header.flags.fetch_or(ledger::kHeaderFlagReconciled, std::memory_order_release);
  return true;
}

void recheck_kernel_facts(ledger::Writer& writer, int pid) {
  Subject subject(pid);
  keep_descriptors(writer, [&](int fd) { return !subject.is_closed(fd); });
}

bool is_in_fd_table(const ledger::Writer& writer, int fd) {
  auto number = static_cast<uint64_t>(fd);
  if (number >= used_records(writer, SectionId::fds)) return false;
  const auto* record = writer.known<ledger::FdRecord>(SectionId::fds, number);
  return record && record->word.load(std::memory_order_acquire) != 0;
}

void keep_unattributed(ledger::Writer& writer, bool (*keeps)(int fd)) { keep_descriptors(writer, keeps); }

bool describe_descriptor(int pid, int fd, KernelFd& out, base::TextBuilder& target) {
  Subject subject(pid);
  out = {};
  out.fd = fd;
  char text[4096];
  long size = subject.read_link(fd, text);
  if (is_error(size) || read_flags(subject, fd, out) == base::Openness::closed) return false;
  std::string_view link(text, static_cast<size_t>(size));
  describe_link(subject, fd, link, target);
  if (starts_with(link, "pipe:[") && is_hung_up(subject, fd)) out.flags |= ledger::kKernelFdHungUp;
  return true;
}

}  // namespace unfreed::report
