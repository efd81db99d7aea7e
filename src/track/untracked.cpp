#include "track/untracked.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>

#include "base/keep_errno.h"
#include "base/syscall.h"
#include "base/text.h"
#include "ledger/ownership.h"
#include "track/exec_leaks.h"
#include "track/tracker.h"

namespace unfreed::track {

using base::is_error;
using base::raw_syscall;
using ledger::Untracked;
using ledger::UntrackedBoard;

namespace {

const char* g_board = "";

/// As it is entered in one table.
struct Entry : UntrackedProgram {
  bool is_off_board = false;
};

bool is_same(const Untracked& record, const Entry& program) {
  if ((record.is_off_board != 0) != program.is_off_board) return false;
  if (record.state.load(std::memory_order_acquire) != ledger::kUntrackedValid) return false;
  if (record.obstacle != static_cast<uint8_t>(program.obstacle)) return false;
  std::string_view known(record.program, strnlen(record.program, sizeof record.program));
  return known == base::slice(program.path, 0, sizeof record.program - 1);
}

void fill(Untracked& record, const Entry& program) {
  record.state.store(ledger::kUntrackedFilling, std::memory_order_relaxed);
  record.obstacle = static_cast<uint8_t>(program.obstacle);
  record.is_off_board = program.is_off_board;
  base::TextBuilder(record.program).add(program.path);
  record.state.store(ledger::kUntrackedValid, std::memory_order_release);
}

void add_process(Untracked& record, int pid) {
  record.count.fetch_add(1, std::memory_order_relaxed);
  uint32_t slot = record.processes_noted.fetch_add(1, std::memory_order_relaxed) % ledger::kUntrackedProcesses;
  record.started_ns[slot].store(base::monotonic_ns(), std::memory_order_relaxed);
  record.pids[slot].store(pid, std::memory_order_relaxed);
}

void take_process(Untracked& record, int pid) {
  record.count.fetch_sub(1, std::memory_order_relaxed);
  for (auto& one : record.pids) {
    int expected = pid;
    if (one.compare_exchange_strong(expected, 0, std::memory_order_relaxed)) return;
  }
}

/// `Table`: count(), at(i) (nullptr: no room there), next() and full(). Several processes may write at once: two
/// records of the same are harmless.
template <class Table>
void note_in(Table table, const Entry& program) {
  uint64_t used = table.count();
  for (uint64_t i = 0; i < used; ++i)
    if (Untracked* known = table.at(i); known && is_same(*known, program)) return add_process(*known, program.pid);
  Untracked* made = table.at(table.next());
  if (!made) return table.full();
  fill(*made, program);
  add_process(*made, program.pid);
}

template <class Table>
void take_back_in(Table table, const Entry& program) {
  uint64_t used = table.count();
  for (uint64_t i = 0; i < used; ++i)
    if (Untracked* known = table.at(i); known && is_same(*known, program)) return take_process(*known, program.pid);
}

struct LedgerTable {
  ledger::Section& section() const { return g_tracker.writer.section(ledger::SectionId::untracked); }
  uint64_t count() const {
    uint64_t handed_out = section().count.load(std::memory_order_acquire);
    return handed_out < section().capacity ? handed_out : section().capacity;
  }
  Untracked* at(uint64_t index) const { return g_tracker.writer.touch<Untracked>(ledger::SectionId::untracked, index); }
  uint64_t next() const { return section().count.fetch_add(1, std::memory_order_acq_rel); }
  void full() const { g_tracker.writer.drop(ledger::Dropped::untracked_full); }
};

/// What an adopted fork child still has of its parent's ledger.
struct ParentTable {
  ledger::Section* section;
  Untracked* records;
  uint64_t count() const {
    uint64_t handed_out = section->count.load(std::memory_order_acquire);
    return handed_out < section->capacity ? handed_out : section->capacity;
  }
  Untracked* at(uint64_t index) const { return index < section->capacity ? records + index : nullptr; }
  uint64_t next() const { return section->count.fetch_add(1, std::memory_order_acq_rel); }
  void full() const { drop_in_parent(ledger::Dropped::untracked_full); }
};

/// Calls `act(table)` for the ledger of the process that reports the program: this one or, if it is to execute that,
/// the one it was forked from. (Before a child has a ledger of its own it has its parent's.)
template <class Act>
void in_ledger(const UntrackedProgram& program, Act act) {
  ledger::Section* section = nullptr;
  if (Untracked* records = program.replaces ? parents_untracked(section) : nullptr)
    act(ParentTable{section, records});
  else if (g_tracker.writer)
    act(LedgerTable{});
}

struct BoardTable {
  UntrackedBoard* board;
  uint64_t count() const {
    uint32_t handed_out = board->count.load(std::memory_order_acquire);
    return handed_out < UntrackedBoard::kRecords ? handed_out : UntrackedBoard::kRecords;
  }
  /// Storage is there for the first page alone, until it is asked for.
  Untracked* at(uint64_t index) const {
    if (index >= UntrackedBoard::kRecords) return nullptr;
    Untracked* record = &board->records[index];
    auto offset = static_cast<size_t>(reinterpret_cast<std::byte*>(record) - reinterpret_cast<std::byte*>(board));
    size_t page = offset / ledger::kPageBytes * ledger::kPageBytes;
    bool is_there =
        page == 0 || ledger::back_shared_memory(reinterpret_cast<std::byte*>(board) + page, ledger::kPageBytes);
    return is_there ? record : nullptr;
  }
  uint64_t next() const { return board->count.fetch_add(1, std::memory_order_acq_rel); }
  void full() const { board->dropped.fetch_add(1, std::memory_order_relaxed); }
};

/// Maps the board only while it is written to: few programs are untracked, and each mapping slows down fork. False: it
/// cannot be written to.
template <class Act>
bool on_board(Act act) {
  if (!base::may_call_system()) return false;
  // Only a file of this user: another user could truncate it while it is mapped.
  struct stat status {};
  auto user = static_cast<unsigned>(raw_syscall(SYS_geteuid));
  long fd = ledger::open_own_file(AT_FDCWD, g_board, user, O_RDWR, status);
  if (is_error(fd)) return false;
  bool is_whole = status.st_size == sizeof(UntrackedBoard);
  long mapped =
      is_whole ? raw_syscall(SYS_mmap, 0, sizeof(UntrackedBoard), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : -1;
  base::close_file(fd);
  if (is_error(mapped)) return false;
  auto* board = reinterpret_cast<UntrackedBoard*>(mapped);
  bool is_board = std::memcmp(board->magic, UntrackedBoard::kBoardMagic, sizeof board->magic) == 0;
  if (is_board) act(BoardTable{board});
  base::unmap_memory(board, sizeof(UntrackedBoard));
  return is_board;
}

/// Calls `act(table, entry)` for the run's board and the ledger.
template <class Act>
void in_tables(const UntrackedProgram& program, Act act) {
  base::KeepErrno keep;
  Entry entry{program};
  entry.is_off_board = *g_board && !on_board([&](BoardTable table) { act(table, entry); });
  in_ledger(program, [&](auto table) { act(table, entry); });
}

}  // namespace

void set_untracked_board(const char* path) { g_board = path; }

void note_untracked(const UntrackedProgram& program) {
  in_tables(program, [](auto table, const Entry& entry) { note_in(table, entry); });
}

void note_self_untracked(std::string_view path, elf::Obstacle obstacle) {
  base::KeepErrno keep;
  if (*g_board) on_board([&](BoardTable table) { note_in(table, {{path, obstacle, base::current_pid(), false}}); });
}

void take_untracked_back(const UntrackedProgram& program) {
  in_tables(program, [](auto table, const Entry& entry) { take_back_in(table, entry); });
}

}  // namespace unfreed::track
