#include "ledger/room.h"

#include <algorithm>
#include <cstring>

#include "base/syscall.h"

namespace unfreed::ledger {

namespace {

constexpr uint64_t kMebibyte = 1 << 20;
constexpr uint64_t kLeastFree = kMebibyte, kMostFree = 16 * kMebibyte;
/// A process asks again after this much; before, it does not know what others take.
constexpr uint64_t kMostAtOnce = kMebibyte / 4;

/// What may be taken by ledgers.
uint64_t spare_bytes(const struct statfs& file_system) {
  auto block = static_cast<uint64_t>(file_system.f_bsize);
  uint64_t stays = std::clamp(file_system.f_blocks * block / 8, kLeastFree, kMostFree);
  uint64_t free = file_system.f_bavail * block;
  return free > stays ? free - stays : 0;
}

bool leaves_files(const struct statfs& file_system) {
  constexpr uint64_t kFree = 64;
  return file_system.f_files == 0 || file_system.f_ffree >= kFree;
}

/// A tmpfs without a limit says that it has no blocks.
bool is_limited(const struct statfs& file_system) { return file_system.f_blocks > 0; }

bool is_same(const struct statfs& one, const struct statfs& other) {
  return one.f_type == other.f_type && std::memcmp(&one.f_fsid, &other.f_fsid, sizeof one.f_fsid) == 0;
}

}  // namespace

bool leaves_room(const struct statfs& file_system, uint64_t bytes) {
  return leaves_files(file_system) && (!is_limited(file_system) || spare_bytes(file_system) >= bytes);
}

bool Room::grant(const struct statfs& now, uint64_t bytes) {
  if (!leaves_room(now, bytes)) return false;
  uint64_t share = is_limited(now) ? std::min(spare_bytes(now) / 4, kMostAtOnce) : kMostAtOnce;
  left_.store(static_cast<int64_t>(share > bytes ? share - bytes : 0), std::memory_order_relaxed);
  return true;
}

bool Room::begin(long file, const char* directory, uint64_t bytes) {
  directory_ = directory;
  left_.store(0, std::memory_order_relaxed);
  first_ = {};
  bool is_known = !base::is_error(base::raw_syscall(SYS_fstatfs, file, reinterpret_cast<long>(&first_)));
  return !is_known || grant(first_, bytes);
}

bool Room::take(uint64_t bytes) {
  auto wanted = static_cast<int64_t>(bytes);
  if (left_.fetch_sub(wanted, std::memory_order_relaxed) >= wanted) return true;
  left_.fetch_add(wanted, std::memory_order_relaxed);
  struct statfs now {};
  long result = base::raw_syscall(SYS_statfs, reinterpret_cast<long>(directory_), reinterpret_cast<long>(&now));
  return base::is_error(result) || !is_same(now, first_) || grant(now, bytes);
}

}  // namespace unfreed::ledger
