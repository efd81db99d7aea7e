#include "ledger/wait_status.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "base/syscall.h"
#include "ledger/layout.h"
#include "ledger/ownership.h"

namespace unfreed::ledger {

namespace {

using base::raw_syscall;

template <class Value>
bool read_at(long file, size_t offset, Value& out) {
  return raw_syscall(SYS_pread64, file, reinterpret_cast<long>(&out), sizeof out, static_cast<long>(offset)) ==
         sizeof out;
}

/// Of a child of `parent` that has not ended in order, and whose end nobody has noted. The file may be an older one's
/// of the same number.
bool is_wanted(long file, int parent) {
  char magic[sizeof Header::magic];
  State state{};
  int32_t ppid = 0;
  uint32_t ended = 0;
  return read_at(file, offsetof(Header, magic), magic) && std::memcmp(magic, kMagic, sizeof magic) == 0 &&
         read_at(file, offsetof(Header, state), state) && state == State::live &&
         read_at(file, offsetof(Header, ppid), ppid) && ppid == parent &&
         read_at(file, offsetof(Header, noted_end), ended) && ended == 0;
}

}  // namespace

void note_wait_status(long directory, std::string_view prefix, FileName parts, int parent, int wait_status) {
  constexpr uint32_t kMostImages = 16;  // more than one only if the number was used before in this run
  auto user = static_cast<unsigned>(raw_syscall(SYS_geteuid));
  for (parts.image = 0; parts.image < kMostImages; ++parts.image) {
    base::FixedText<384> path;
    path.add(prefix);
    add_file_name(path, parts);
    struct stat status {};
    long file = open_own_file(directory, path.c_str(), user, O_RDWR, status);
    if (base::is_error(file)) return;
    bool is_last = is_wanted(file, parent);
    auto ended = static_cast<uint32_t>(wait_status) + 1;
    if (is_last)
      raw_syscall(SYS_pwrite64, file, reinterpret_cast<long>(&ended), sizeof ended, offsetof(Header, noted_end));
    base::close_file(file);
    if (is_last) return;
  }
}

}  // namespace unfreed::ledger
