#include "runtime/ledger_file.h"

#include <errno.h>
#include <sys/stat.h>

#include <cstring>

#include "base/syscall.h"
#include "base/text.h"
#include "ledger/layout.h"

namespace unfreed::runtime {

using base::is_error;
using base::raw_syscall;
using ledger::Header;

bool launcher_takes_ledgers(const LedgerPlace& place) {
  if (!place.has_launcher) return false;
  base::FixedText<384> file;
  file.add(place.directory).add("/unfreed.").add(place.session).add(".launcher");
  return !is_error(raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>(file.c_str()), 0));
}

namespace {

/// Left by an image of this process that has called exec, or by an earlier process of the same pid that has.
bool is_replaced(const char* path) {
  static Header header;  // used by one thread at a time (start, fork)
  long fd = base::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return false;
  long size = raw_syscall(SYS_pread64, fd, reinterpret_cast<long>(&header), sizeof header, 0);
  base::close_file(fd);
  return size == sizeof header && std::memcmp(header.magic, ledger::kMagic, sizeof header.magic) == 0 &&
         header.state.load(std::memory_order_relaxed) == static_cast<uint32_t>(ledger::State::replaced);
}

}  // namespace

long create_ledger_file(const LedgerPlace& place, int pid, std::span<char> path) {
  constexpr int kMostImages = 4096;
  for (int image = 0; image < kMostImages; ++image) {
    base::TextBuilder name(path);
    name.add(place.directory).add("/unfreed.").add(place.session).add('.').add_signed(pid).add('.').add_signed(image);
    if (name.cut()) return -ENAMETOOLONG;
    // A finished image's name with its suffix counts as taken too: the launcher tells images apart by it.
    size_t end = name.size();
    name.add(".done");
    struct stat ignored;
    bool taken = raw_syscall(SYS_newfstatat, AT_FDCWD, reinterpret_cast<long>(path.data()),
                             reinterpret_cast<long>(&ignored), AT_SYMLINK_NOFOLLOW) == 0;
    path[end] = '\0';
    if (taken) continue;
    constexpr int kNew = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
    long fd = base::open_file(path.data(), kNew, 0600);
    if (fd == -EEXIST && !launcher_takes_ledgers(place) && is_replaced(path.data())) {
      raw_syscall(SYS_unlinkat, AT_FDCWD, reinterpret_cast<long>(path.data()), 0);
      fd = base::open_file(path.data(), kNew, 0600);
    }
    if (fd != -EEXIST) return fd;
  }
  return -EEXIST;
}

void clear_replaced(const LedgerPlace& place, int pid) {
  constexpr int kMostImages = 16;
  for (int image = 0; image < kMostImages; ++image) {
    base::FixedText<384> name;
    name.add(place.directory).add("/unfreed.").add(place.session).add('.').add_signed(pid).add('.').add_signed(image);
    if (!is_replaced(name.c_str())) return;
    raw_syscall(SYS_unlinkat, AT_FDCWD, reinterpret_cast<long>(name.c_str()), 0);
  }
}

}  // namespace unfreed::runtime
