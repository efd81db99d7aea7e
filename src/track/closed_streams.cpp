#include "track/closed_streams.h"

#include <atomic>

#include "base/keep_errno.h"
#include "track/misuse.h"
#include "track/sites.h"

namespace unfreed::track {

using ledger::ClosedFd;

namespace {

constexpr uint64_t kClosed = 1;  // in Slot::stream; addresses are even

struct Slot {
  std::atomic<uint64_t> stream;  ///< its address, with kClosed; 0: empty, or being filled in
  int32_t fd;
  ledger::FdOwner owner;
  ClosedFd closed;  ///< the last stream with this address that was closed
  ClosedFd before;  ///< the one before that
};
constexpr size_t kSlots = 256;
constinit Slot g_slots[kSlots] = {};

uint64_t address_of(const void* stream) { return reinterpret_cast<uint64_t>(stream); }

Slot& slot_of(const void* stream) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  constexpr int kShift = 64 - 8;
  static_assert(kSlots == size_t{1} << (64 - kShift));
  return g_slots[address_of(stream) * kGolden >> kShift];
}

}  // namespace

void stream_opened(const void* stream) {
  uint64_t closed = address_of(stream) | kClosed;
  // The stream that was there stays known: its owner may close it once more.
  slot_of(stream).stream.compare_exchange_strong(closed, address_of(stream), std::memory_order_acq_rel);
}

void stream_closed(const void* stream, int fd, const FdRelease& release) {
  // The standard streams that a program was started with are closed by many at its end, some of them twice.
  if (!release.word || ledger::fd_origin(release.word) == ledger::FdOrigin::inherited) return;
  Slot& slot = slot_of(stream);
  uint64_t was = slot.stream.exchange(0, std::memory_order_acq_rel);
  if ((was & ~kClosed) == address_of(stream))
    copy_closed(slot.closed, slot.before);
  else
    slot.before.word.store(0, std::memory_order_relaxed);
  slot.fd = fd;
  slot.owner = static_cast<ledger::FdOwner>(release.record->owner_kind);
  copy_closed(release.record->closed, slot.closed);
  slot.stream.store(address_of(stream) | kClosed, std::memory_order_release);
}

bool is_closed_stream(const void* stream) {
  return slot_of(stream).stream.load(std::memory_order_acquire) == (address_of(stream) | kClosed);
}

void note_closed_stream(const void* stream, uint16_t hook, const unwind::Registers& from) {
  if (t_local.pause_depth || !enter(ledger::Kind::fd)) return;
  base::KeepErrno keep;
  const Slot& slot = slot_of(stream);
  uint32_t site = capture_site(ledger::Kind::fd, hook, from);
  note_stream_closed_again(slot.fd, slot.owner, slot.closed, slot.before, site);
}

}  // namespace unfreed::track
