#include "grade/kernel_pointers.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

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

  /// No file system has a say in the answer, as it might in that of fstat(2), and it costs a tenth of what a link of
  /// /proc does: epoll_ctl(2) fails with EINVAL for what is no epoll descriptor, and with ENOENT where it is one.
  bool is_epoll(int fd) const { return base::raw_syscall(SYS_epoll_ctl, fd, EPOLL_CTL_DEL, fd_, 0) == -ENOENT; }

 private:
  long fd_;
};

}  // namespace

bool parse_epoll_data(std::string_view line, uint64_t& data) {
  constexpr std::string_view kData = "data:";
  size_t at = line.find(kData);
  if (!line.starts_with("tfd:") || at == line.npos) return false;
  line.remove_prefix(at + kData.size());
  while (line.starts_with(' ')) line.remove_prefix(1);
  return base::take_hexadecimal(line, data);
}

bool KernelPointers::add(uint64_t data) {
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

bool KernelPointers::collect_from(int fd, void* buffer) {
  any_epoll_ = true;
  base::FixedText<64> path;
  path.add("/proc/self/fdinfo/").add_signed(fd);
  return each_line(path.c_str(), {static_cast<char*>(buffer), kLineBytes}, [this](std::string_view line) {
    uint64_t data;
    return !parse_epoll_data(line, data) || add(data);
  });
}

void KernelPointers::collect() { is_whole_ = collect_all(); }

bool KernelPointers::collect_all() {
  uint64_t size = table_size();
  Unwatched unwatched;
  Scratch memory;
  if (!size || size > INT32_MAX || !unwatched) return false;
  void* buffer = nullptr;
  for (int fd = 0; fd < static_cast<int>(size); ++fd) {
    if (!unwatched.is_epoll(fd)) continue;
    if (!buffer) buffer = memory.reserve(kLineBytes);
    if (!buffer || !collect_from(fd, buffer)) return false;
  }
  return true;
}

}  // namespace unfreed::grade
