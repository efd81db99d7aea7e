// The runtime's share of address space and memory, when the program limits or locks these. The ledger and the tables
// beside it are mapped in full and hardly touched, which costs nothing as long as only touched pages count.
#pragma once

#include "track/tracker.h"

namespace unfreed::track {

/// The program is about to limit its address space, or to lock all of it: what is mapped of the ledger without being in
/// use is given back. Async-signal-safe.
void shrink_footprint();

/// The limits have changed.
void footprint_limits_changed();

/// mlockall(2) of what is the program's: the runtime's memory is locked neither now nor later, since locking backs it.
/// `flags` are its own; `call(flags)` is the real function. Returns as it does, with errno.
template <class Call>
int lock_without_footprint(int flags, Call call);

/// munlockall(2) has succeeded.
void footprint_unlocked();

// ---- details of lock_without_footprint() ----

/// Locks what is mapped and not the runtime's, as mlockall does: what cannot be is passed over. False: /proc does not
/// tell, and nothing was done.
bool lock_programs_mappings(bool on_fault);
void unlock_own_mappings();
/// Is RLIMIT_MEMLOCK enough for all of the program's mappings?
bool memlock_limit_suffices();
void note_future_locked(bool is_locked);
bool is_future_locked();

inline constexpr int kLockCurrent = 1, kLockFuture = 2, kLockOnFault = 4;  // MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT

template <class Call>
int lock_without_footprint(int flags, Call call) {
  bool takes_back_future = is_future_locked() && !(flags & kLockFuture);
  bool is_ordinary = !(flags & ~(kLockCurrent | kLockFuture | kLockOnFault)) && flags & (kLockCurrent | kLockFuture);
  if (!is_ordinary || takes_back_future || g_tracker.phase.load(std::memory_order_acquire) != Phase::tracking) {
    int result = call(flags);
    if (result == 0) note_future_locked(flags & kLockFuture);
    return result;
  }
  shrink_footprint();
  int on_fault = flags & kLockOnFault;
  if (flags & kLockCurrent) {
    // Only the kernel knows who may lock more than the limit (CAP_IPC_LOCK). It also counts the runtime's mappings, and
    // would back them with pages, hence MLOCK_ONFAULT.
    bool is_checked = memlock_limit_suffices();
    if (!is_checked && call(kLockCurrent | kLockOnFault) != 0) return -1;
    if (!is_checked) unlock_own_mappings();
    if (!lock_programs_mappings(on_fault)) return call(flags);
  }
  if (!(flags & kLockFuture)) return 0;
  int result = call(kLockFuture | on_fault);
  if (result == 0) note_future_locked(true);
  return result;
}

}  // namespace unfreed::track
