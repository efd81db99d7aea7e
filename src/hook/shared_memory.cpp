// System V shared memory: segments that the process created, and its attachments.
#include <sys/shm.h>
#include <unistd.h>

#include "base/keep_errno.h"
#include "base/syscall.h"
#include "base/text.h"
#include "hook/real.h"
#include "track/handles.h"
#include "track/tracker.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;

namespace {

/// Attachments go by their address; segments by their number, told apart by a bit that no address has.
uint64_t id_of_segment(int segment) { return uint64_t{1} << 63 | static_cast<uint32_t>(segment); }
uint64_t id_of_attachment(const void* address) { return reinterpret_cast<uint64_t>(address); }

/// What the kernel says of a segment. False: it is not there, or not this process's to look at.
bool look_at(int segment, shmid_ds& out) {
  return base::raw_syscall(SYS_shmctl, segment, IPC_STAT, reinterpret_cast<long>(&out)) == 0;
}

/// Without IPC_EXCL the segment may have been there before.
bool is_new(int segment, key_t key, int flags, const shmid_ds& about) {
  if (key == IPC_PRIVATE || (flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL)) return true;
  return flags & IPC_CREAT && about.shm_cpid == base::current_pid() &&
         !track::handle_is_known(ledger::Kind::shm, id_of_segment(segment));
}

void segment_made(int segment, key_t key, int flags, const unwind::Registers& from) {
  base::KeepErrno keep;
  if (!track::tracks(ledger::Kind::shm)) return;
  shmid_ds about{};
  if (!look_at(segment, about) || !is_new(segment, key, flags, about)) return;
  base::FixedText<64> target;
  target.add("segment ").add_signed(segment);
  if (key != IPC_PRIVATE) target.add(", key 0x").add_hex(static_cast<uint32_t>(key));
  track::handle_acquired({ledger::Kind::shm, id_of_segment(segment), about.shm_segsz, target.text()},
                         hook_number(Hook::shmget), from);
}

void attached(int segment, const void* address, const unwind::Registers& from) {
  base::KeepErrno keep;
  if (!track::tracks(ledger::Kind::shm)) return;
  shmid_ds about{};
  look_at(segment, about);
  base::FixedText<64> target;
  target.add("attachment of segment ").add_signed(segment);
  // With SHM_REMAP it takes the place of one that was there.
  track::handle_released(track::handle_releasing(ledger::Kind::shm, id_of_attachment(address)), true);
  track::handle_acquired({ledger::Kind::shm, id_of_attachment(address), about.shm_segsz, target.text()},
                         hook_number(Hook::shmat), from);
}

}  // namespace

UNFREED_HOOK int shmget(key_t key, size_t bytes, int flags) noexcept {
  int segment = g_real.shmget(key, bytes, flags);
  if (segment >= 0)
    segment_made(segment, key, flags, caller_registers());
  else
    track::handle_not_acquired(ledger::Kind::shm, hook_number(Hook::shmget), caller_registers());
  return segment;
}

UNFREED_HOOK void* shmat(int segment, const void* wanted, int flags) noexcept {
  void* address = g_real.shmat(segment, wanted, flags);
  if (address != reinterpret_cast<void*>(-1))
    attached(segment, address, caller_registers());
  else
    track::handle_not_acquired(ledger::Kind::shm, hook_number(Hook::shmat), caller_registers());
  return address;
}

UNFREED_HOOK int shmdt(const void* address) noexcept {
  return track::handle_release(
      ledger::Kind::shm, id_of_attachment(address), [&] { return g_real.shmdt(address); },
      [](int result) { return result == 0; });
}

UNFREED_HOOK int shmctl(int segment, int command, shmid_ds* about) noexcept {
  if (command != IPC_RMID) return g_real.shmctl(segment, command, about);
  return track::handle_release(
      ledger::Kind::shm, id_of_segment(segment), [&] { return g_real.shmctl(segment, command, about); },
      [](int result) { return result == 0; });
}
