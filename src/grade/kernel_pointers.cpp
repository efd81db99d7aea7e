#include "grade/kernel_pointers.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"
#include "grade/mapping_lines.h"

namespace unfreed::grade {

namespace {

/// How many numbers the calling process's descriptor table has room for; 0: the kernel does not say. (A copy's is as
/// long as what is open.)
uint64_t table_size() {
  char text[4096];
  long bytes = base::read_file("/proc/self/status", text, sizeof text);
  std::string_view status(text, bytes > 0 ? static_cast<size_t>(bytes) : 0);
  constexpr std::string_view kSize = "\nFDSize:\t";
  size_t at = status.find(kSize);
  if (at == status.npos) return 0;
  std::string_view line = base::slice(status, at + kSize.size());
  uint64_t size = 0;
  return base::parse_number(base::slice(line, 0, line.find('\n')), size) ? size : 0;
}

/// A descriptor that no epoll descriptor watches, for questions.
class Unwatched {
 public:
  Unwatched() : fd_(base::raw_syscall(SYS_eventfd2, 0, EFD_CLOEXEC)) {}
  ~Unwatched() {
    if (!base::is_error(fd_)) base::close_file(fd_);
  }
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
  explicit operator bool() const { return !base::is_error(fd_); }

  enum class Use : uint8_t { none, epoll, other };
  /// No file system has a say in the answer, as it might in that of fstat(2), and it costs a tenth of what a link of
  /// /proc does: epoll_ctl(2) fails with EINVAL for what is no epoll descriptor, and with ENOENT where it is one.
  Use use_of(int fd) const {
    long result = base::raw_syscall(SYS_epoll_ctl, fd, EPOLL_CTL_DEL, fd_, 0);
    return result == -ENOENT ? Use::epoll : result == -EINVAL ? Use::other : Use::none;
  }

 private:
  long fd_;
};

/// Most descriptors are sockets, of many a server ten thousand, and their links would take long to read.
bool is_ring(int fd) {
  int type;
  socklen_t bytes = sizeof type;
  long result = base::raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, reinterpret_cast<long>(&type),
                                  reinterpret_cast<long>(&bytes));
  if (result == 0) return false;
  base::FixedText<64> path;
  path.add("/proc/self/fd/").add_signed(fd);
  char target[64];
  long length = base::raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(path.c_str()),
                                  reinterpret_cast<long>(target), sizeof target);
  return length > 0 && std::string_view(target, static_cast<size_t>(length)) == "anon_inode:[io_uring]";
}

}  // namespace

bool parse_epoll_data(std::string_view line, uint64_t& data) {
  constexpr std::string_view kData = "data:";
  size_t at = line.find(kData);
  if (!line.starts_with("tfd:") || at == line.npos) return false;
  line.remove_prefix(at + kData.size());
  while (line.starts_with(' ')) line.remove_prefix(1);
  return base::take_hexadecimal(line, data);
}

bool parse_timer_data(std::string_view line, uint64_t& data) {
  size_t at = line.find('/');
  if (!line.starts_with("signal:") || at == line.npos) return false;
  line.remove_prefix(at + 1);
  return base::take_hexadecimal(line, data);
}

bool KernelData::add(uint64_t data) {
  if (count_in_chunk_ == chunk_entries(chunk_)) {
    ++chunk_;
    count_in_chunk_ = 0;
  }
  if (chunk_ == kChunks) return false;
  uint64_t*& entries = entries_[chunk_];
  if (!entries) entries = memory_[chunk_].reserve_array<uint64_t>(chunk_entries(chunk_));
  if (!entries) return false;
  entries[count_in_chunk_++] = data;
  ++count_;
  return true;
}

/// Where the kernel has no such file, nothing is known of timers.
void KernelPointers::collect_timers() {
  char buffer[256];  // may be on a signal handler's small stack
  constexpr const char* kPath = "/proc/self/timers";
  are_timers_whole_ = each_line(kPath, buffer,
                                [this](std::string_view line) {
                                  uint64_t data;
                                  return !parse_timer_data(line, data) || timers_.add(data);
                                }) ||
                      base::raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>(kPath), F_OK) == -ENOENT;
}

bool KernelPointers::collect_from(int fd, void* buffer) {
  any_epoll_ = true;
  base::FixedText<64> path;
  path.add("/proc/self/fdinfo/").add_signed(fd);
  return each_line(path.c_str(), {static_cast<char*>(buffer), kLineBytes}, [this](std::string_view line) {
    uint64_t data;
    return !parse_epoll_data(line, data) || epoll_.add(data);
  });
}

/// All requests have been answered if the kernel has written as many answers as it has read requests, nothing is polled
/// for any of them, and no answer waits for room. (Some get several answers, or none: the numbers alone may agree by
/// chance. Before Linux 5.20 it does not say.)
void KernelPointers::look_at_ring(int fd, void* buffer) {
  base::FixedText<64> path;
  path.add("/proc/self/fdinfo/").add_signed(fd);
  constexpr uint64_t kUnknown = UINT64_MAX;
  uint64_t requests = kUnknown, answers = kUnknown;
  bool is_listed = false;
  each_line(path.c_str(), {static_cast<char*>(buffer), kLineBytes}, [&](std::string_view line) {
    for (auto [name, number] : {std::pair("SqHead:\t", &requests), std::pair("CqTail:\t", &answers)})
      if (line.starts_with(name)) base::parse_number(base::slice(line, std::strlen(name)), *number);
    is_listed = is_listed || line.starts_with("  op=") || line.starts_with("  user_data=");
    return true;
  });
  any_in_flight_ = any_in_flight_ || is_listed || requests == kUnknown || requests != answers;
}

void KernelPointers::collect() { is_whole_ = collect_all(); }

bool KernelPointers::collect_all() {
  uint64_t size = table_size();
  Unwatched unwatched;
  Scratch memory;
  if (!size || size > INT32_MAX || !unwatched) return false;
  void* buffer = nullptr;
  for (int fd = 0; fd < static_cast<int>(size); ++fd) {
    Unwatched::Use use = unwatched.use_of(fd);
    if (use == Unwatched::Use::none || (use == Unwatched::Use::other && !is_ring(fd))) continue;
    if (!buffer) buffer = memory.reserve(kLineBytes);
    if (!buffer) return false;
    if (use == Unwatched::Use::other)
      look_at_ring(fd, buffer);
    else if (!collect_from(fd, buffer))
      return false;
  }
  return true;
}

}  // namespace unfreed::grade
