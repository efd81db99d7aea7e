#include "base/regular_file.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/syscall.h"

namespace unfreed::base {

namespace {
FileProblem look_at(const struct stat& status, uint64_t most_bytes) {
  if (S_ISDIR(status.st_mode)) return failed(-EISDIR);
  if (!S_ISREG(status.st_mode)) return {kNotRegular};
  if (static_cast<uint64_t>(status.st_size) > most_bytes) return {kTooLarge};
  return {};
}
}  // namespace

RegularFile open_regular_file(const char* path, uint64_t most_bytes, long directory) {
  RegularFile file;
  struct stat status {};
  // Looked at first, as opening is an act to some: a FIFO's writers wake up, a device starts.
  long result =
      raw_syscall(SYS_newfstatat, directory, reinterpret_cast<long>(path), reinterpret_cast<long>(&status), 0);
  file.problem = is_error(result) ? failed(result) : look_at(status, most_bytes);
  file.mode = status.st_mode;
  file.uid = status.st_uid;
  file.gid = status.st_gid;
  if (file.problem) return file;
  // Should it be another one by now, it is still not waited for.
  constexpr long kOpen = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  file.fd = raw_syscall(SYS_openat, directory, reinterpret_cast<long>(path), kOpen);
  if (is_error(file.fd)) {
    file.problem = failed(file.fd);
    file.fd = -1;
    return file;
  }
  result = raw_syscall(SYS_fstat, file.fd, reinterpret_cast<long>(&status));
  file.problem = is_error(result) ? failed(result) : look_at(status, most_bytes);
  file.bytes = static_cast<uint64_t>(status.st_size);
  if (!file.problem) return file;
  close_file(file.fd);
  file.fd = -1;
  return file;
}

ReadResult read_regular_file(const char* path, std::span<char> out) {
  ReadResult result;
  RegularFile file = open_regular_file(path, out.size());
  result.problem = file.problem;
  while (!result.problem) {
    char one_more;
    bool is_full = result.bytes == out.size();
    long got = raw_syscall(SYS_read, file.fd, reinterpret_cast<long>(is_full ? &one_more : out.data() + result.bytes),
                           static_cast<long>(is_full ? 1 : out.size() - result.bytes));
    if (got == -EINTR) continue;
    if (got == 0) break;
    if (is_error(got))
      result.problem = failed(got);
    else if (is_full)
      result.problem = {kTooLarge};
    else
      result.bytes += static_cast<size_t>(got);
  }
  if (file.fd >= 0) close_file(file.fd);
  return result;
}

std::span<const std::byte> map_regular_file(const char* path, uint64_t most_bytes) {
  RegularFile file = open_regular_file(path, most_bytes);
  if (file.problem) return {};
  long mapped = file.bytes ? raw_syscall(SYS_mmap, 0, static_cast<long>(file.bytes), PROT_READ, MAP_PRIVATE, file.fd, 0)
                           : -EINVAL;
  close_file(file.fd);
  if (is_error(mapped)) return {};
  return {reinterpret_cast<const std::byte*>(mapped), static_cast<size_t>(file.bytes)};
}

}  // namespace unfreed::base
