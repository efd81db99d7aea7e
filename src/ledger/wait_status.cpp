#include "ledger/wait_status.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/lock.h"
#include "base/process_stat.h"
#include "base/syscall.h"
#include "base/text.h"
#include "ledger/entries.h"
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

/// Of a process that has not ended in order, and whose end nobody has noted.
bool is_unfinished(long file) {
  char magic[sizeof Header::magic];
  State state{};
  uint32_t ended = 0;
  return read_at(file, offsetof(Header, magic), magic) && std::memcmp(magic, kMagic, sizeof magic) == 0 &&
         read_at(file, offsetof(Header, state), state) && state == State::live &&
         read_at(file, offsetof(Header, noted_end), ended) && ended == 0;
}

bool has_ended(int pid) {
  base::FixedText<32> path;
  path.add("/proc/").add_signed(pid).add("/stat");
  base::ProcessStat stat = base::read_process_stat(path.c_str());
  return stat.is_gone || stat.has_ended();
}

/// Can it have been collected by this process? The file may be an older one's of the same number.
bool is_collected_by(long file, int collector) {
  int32_t parent = 0;
  if (!collector) return true;
  return read_at(file, offsetof(Header, ppid), parent) && (parent == collector || has_ended(parent));
}

void note(long file, int wait_status) {
  auto ended = static_cast<uint32_t>(wait_status) + 1;
  raw_syscall(SYS_pwrite64, file, reinterpret_cast<long>(&ended), sizeof ended, offsetof(Header, noted_end));
}

using Path = base::FixedText<384>;

long open_ledger(long directory, const char* path) {
  struct stat status {};
  return open_own_file(directory, path, static_cast<unsigned>(raw_syscall(SYS_geteuid)), O_RDWR, status);
}

}  // namespace

void note_wait_status(long directory, std::string_view prefix, const FileName& parts, int collector, int wait_status) {
  constexpr uint32_t kMostImages = 16;  // more than one only if the number was used before in this run
  FileName name = parts;
  for (name.image = 0; name.image < kMostImages; ++name.image) {
    Path path;
    path.add(prefix);
    add_file_name(path, name);
    if (base::is_error(raw_syscall(SYS_faccessat, directory, reinterpret_cast<long>(path.c_str()), F_OK))) return;
    base::SignalBlock block;  // else a handler could start a program that gets the descriptor
    long file = open_ledger(directory, path.c_str());
    if (base::is_error(file)) return;
    bool is_wanted = is_unfinished(file) && is_collected_by(file, collector);
    if (is_wanted) note(file, wait_status);
    base::close_file(file);
    if (is_wanted) return;
  }
}

void note_wait_status_of_command(std::string_view folder, uint64_t pid_namespace, int parent,
                                 uint64_t since_boottime_ns, int wait_status) {
  Path path;
  uint32_t candidates = 0;
  long found = -1;
  base::SignalBlock block;
  auto look_at = [&](const char* text) {
    FileName name;
    bool is_ledger = parse_file_name(text, name) && !name.done && !name.is_library;
    if (!is_ledger || name.pid_namespace != pid_namespace || raw_syscall(SYS_kill, name.pid, 0) != -ESRCH) return;
    Path ledger;
    long file = open_ledger(AT_FDCWD, ledger.add(folder).add(text).c_str());
    if (base::is_error(file)) return;
    int32_t its_parent = 0;
    uint64_t created = 0;
    bool is_wanted = is_unfinished(file) && read_at(file, offsetof(Header, ppid), its_parent) && its_parent == parent &&
                     read_at(file, offsetof(Header, created_boottime_ns), created) && created >= since_boottime_ns;
    if (is_wanted && ++candidates == 1)
      found = file;
    else
      base::close_file(file);
  };
  each_entry(AT_FDCWD, path.add(folder).c_str(), true, look_at);
  if (candidates == 1) note(found, wait_status);
  if (found >= 0) base::close_file(found);
}

}  // namespace unfreed::ledger
