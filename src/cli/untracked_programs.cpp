#include "cli/untracked_programs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>

#include "ledger/layout.h"
#include "settings/programs.h"
#include "settings/settings.h"

namespace unfreed::cli {

using ledger::Untracked;
using ledger::UntrackedBoard;

UntrackedBoardFile::UntrackedBoardFile(const std::string& path) : path_(path) {
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file_ < 0) return;
  // The first page is there from the start, also where memory is scarce; others when they are needed.
  char first[ledger::kPageBytes] = {};
  std::memcpy(first, UntrackedBoard::kBoardMagic, sizeof UntrackedBoard::kBoardMagic);
  rlimit limit{};  // beyond it a signal would come
  bool may_be_so_large = getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= sizeof(UntrackedBoard);
  if (may_be_so_large && ftruncate(file_, sizeof(UntrackedBoard)) == 0 &&
      pwrite(file_, first, sizeof first, 0) == static_cast<ssize_t>(sizeof first))
    return;
  close(file_);
  unlink(path_.c_str());
  file_ = -1;
}

UntrackedBoardFile::~UntrackedBoardFile() {
  if (file_ < 0) return;
  close(file_);
  unlink(path_.c_str());
}

void UntrackedPrograms::add(std::string program, std::string reason, uint64_t count) {
  if (count) counts_[{std::move(program), std::move(reason)}] += count;
}

void UntrackedPrograms::add(std::string program, elf::Obstacle obstacle, uint64_t count) {
  add(std::move(program), std::string(elf::describe(obstacle)), count);
}

void UntrackedPrograms::add_if_missing(std::string program, elf::Obstacle obstacle) {
  counts_.emplace(std::pair(std::move(program), std::string(elf::describe(obstacle))), 1);
}

void UntrackedPrograms::add_tracked(int pid, uint64_t started_ns) { tracked_.emplace(pid, started_ns); }

void UntrackedPrograms::add(const Untracked& record) {
  if (record.state.load(std::memory_order_relaxed) != ledger::kUntrackedValid) return;
  uint64_t count = record.count.load(std::memory_order_relaxed);
  for (size_t slot = 0; slot < ledger::kUntrackedProcesses && count; ++slot) {
    auto [first, last] = tracked_.equal_range(record.pids[slot].load(std::memory_order_relaxed));
    uint64_t since = record.started_ns[slot].load(std::memory_order_relaxed);
    if (std::any_of(first, last, [&](const auto& one) { return one.second >= since; })) --count;
  }
  add({record.program, strnlen(record.program, sizeof record.program)}, static_cast<elf::Obstacle>(record.obstacle),
      count);
}

void UntrackedPrograms::add_off_board(const ledger::View& ledger) {
  for (uint32_t index = 0; index < ledger.untracked_count(); ++index) {
    const Untracked* record = ledger.untracked(index);
    if (!record || !record->is_off_board) continue;
    off_board_.push_back(std::make_unique<Untracked>());
    std::memcpy(static_cast<void*>(off_board_.back().get()), record, sizeof *record);
  }
  if (has_read_board_) add_all_off_board();
}

void UntrackedPrograms::add_all_off_board() {
  for (const auto& record : off_board_) add(*record);
  off_board_.clear();
}

void UntrackedPrograms::read(const UntrackedBoardFile& file) {
  has_read_board_ = true;
  add_all_off_board();
  if (file.file_ < 0) return;
  // Read, not mapped: any process of the run could cut it short.
  auto bytes = std::make_unique<UntrackedBoard>();
  if (pread(file.file_, static_cast<void*>(bytes.get()), sizeof *bytes, 0) != static_cast<ssize_t>(sizeof *bytes))
    return;
  const UntrackedBoard& board = *bytes;
  uint32_t used = std::min(board.count.load(std::memory_order_relaxed), UntrackedBoard::kRecords);
  for (uint32_t index = 0; index < used; ++index) add(board.records[index]);
  if (uint32_t dropped = board.dropped.load(std::memory_order_relaxed))
    add("(others)", "the list of programs was full", dropped);
}

bool may_go_untracked(const report::Settings& settings, const std::string& program) {
  if (report::is_named(settings.allow_untracked, program)) return true;
  if (settings.rules_for.empty() || report::is_interpreter(program)) return false;
  // A name that refers to another file by now, or was cut, proves nothing.
  if (!program.starts_with('/') || program.starts_with("/proc/") || program.size() + 1 >= sizeof(Untracked::program))
    return false;
  std::error_code none;
  std::string resolved = std::filesystem::canonical(program, none).string();
  return !none && !report::is_named(settings.rules_for, program) && !report::is_named(settings.rules_for, resolved);
}

std::vector<UntrackedProgram> UntrackedPrograms::list() const {
  std::vector<UntrackedProgram> all;
  for (const auto& [key, count] : counts_)
    all.push_back({key.first, key.second, count, may_go_untracked(settings_, key.first)});
  return all;
}

bool UntrackedPrograms::any_missed() const {
  return std::any_of(counts_.begin(), counts_.end(),
                     [&](const auto& one) { return !may_go_untracked(settings_, one.first.first); });
}

}  // namespace unfreed::cli
