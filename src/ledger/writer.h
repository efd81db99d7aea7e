// Writes a ledger: places records in its sections and provides storage for them before they are touched. Used by the
// runtime over the shared mapping, and by the reader over its private copy (which it completes with kernel facts).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/lock.h"
#include "ledger/layout.h"
#include "ledger/room.h"

namespace unfreed::ledger {

/// Touching a shared mapping on a full tmpfs raises SIGBUS, so its storage is allocated before it is touched
/// (MADV_POPULATE_WRITE). Private memory does not need that.
enum class Backing : uint8_t { private_memory, shared_file };

/// Where a ledger is mapped: each section from its start to an end. The end moves as the table fills up, if mapping all
/// of it would use too much address space (in a process in which that is limited) or memory (if that is
/// private).
class Extents {
 public:
  /// A mapped part, in bytes from the ledger's start.
  struct Part {
    uint64_t start;
    uint64_t end;
  };
  static constexpr size_t kMostParts = kSectionCount + 1;

  /// All of a ledger is mapped, or is to be.
  void set_whole(const Header& header);
  /// Only what is in use is mapped, and the first pages of each section: up to used_end().
  void set_used(const Header& header);
  static uint64_t used_end(const Section& table);
  /// The parts in their order, neighbours as one; returns how many.
  size_t parts(const Header& header, std::span<Part, kMostParts> out) const;

  /// Unmaps what `populated`, a byte for each page, says is not in use. `users` counts who is in reach(), or uses what
  /// it returned. False, and nothing done, if that does not become 0.
  bool unmap_unused(std::byte* base, const Header& header, const std::atomic<uint8_t>* populated,
                    const std::atomic<uint32_t>& users);

  /// Maps the page at `offset` if it is not mapped yet. Returns the end of the mapped part of its section, or 0 if the
  /// page cannot be mapped. Async-signal-safe.
  uint64_t reach(std::byte* base, const Header& header, uint64_t offset);
  /// In a fork child.
  void reset_lock_after_fork() { lock_.reset(); }

 private:
  base::Lock lock_;
  /// By section; last that of the header.
  std::atomic<uint64_t> ends_[kMostParts];
};

/// Makes shared memory safe to touch; false if there is no storage for it. `first` is the start of a page.
/// Async-signal-safe.
bool back_shared_memory(std::byte* first, size_t bytes);

class Writer {
 public:
  Writer() = default;
  /// `base` is a ledger with a valid header and section table, all of which may be touched.
  explicit Writer(void* base) : base_(static_cast<std::byte*>(base)) {}
  /// `populated` has one byte per page, zero at first: which pages are mapped and have storage. `room` (nullptr:
  /// unlimited) is asked for that of shared memory. All outlive the writer.
  Writer(void* base, Backing backing, std::atomic<uint8_t>* populated, Extents* extents, Room* room = nullptr)
      : base_(static_cast<std::byte*>(base)),
        populated_(populated),
        extents_(extents),
        room_(room),
        backing_(backing) {}

  explicit operator bool() const { return base_ != nullptr; }
  void* base() const { return base_; }
  Backing backing() const { return backing_; }
  /// Which pages may be touched, for a View over the same memory; nullptr if all may.
  const std::atomic<uint8_t>* backed() const { return populated_; }
  Header& header() const { return *reinterpret_cast<Header*>(base_); }
  Section& section(SectionId id) const { return header().sections[static_cast<uint32_t>(id)]; }

  /// The record's address, whether or not it has storage. For records that are known to have it.
  template <class T>
  T* at(SectionId id, uint64_t index) const {
    return reinterpret_cast<T*>(base_ + section(id).offset) + index;
  }

  /// The record, backed and safe to touch; nullptr beyond the capacity or when storage cannot grow (which is counted in
  /// Dropped::storage_full). Lock-free, async-signal-safe.
  template <class T>
  T* touch(SectionId id, uint64_t index) const {
    const Section& table = section(id);
    if (index >= table.capacity) return nullptr;
    uint64_t offset = table.offset + index * sizeof(T);
    return ensure(offset, sizeof(T)) ? reinterpret_cast<T*>(base_ + offset) : nullptr;
  }

  /// The same for what is not missed where there is no room: that counts as nothing dropped.
  template <class T>
  T* touch_if_room(SectionId id, uint64_t index) const {
    const Section& table = section(id);
    if (index >= table.capacity) return nullptr;
    uint64_t offset = table.offset + index * sizeof(T);
    bool is_safe =
        !populated_ || populate(offset / kPageBytes, (offset + sizeof(T) - 1) / kPageBytes, Shortage::ignored);
    return is_safe ? reinterpret_cast<T*>(base_ + offset) : nullptr;
  }

  /// The record if it may be touched already; else nullptr.
  template <class T>
  T* known(SectionId id, uint64_t index) const {
    const Section& table = section(id);
    if (index >= table.capacity) return nullptr;
    uint64_t offset = table.offset + index * sizeof(T);
    return is_there(offset, sizeof(T)) ? reinterpret_cast<T*>(base_ + offset) : nullptr;
  }

  /// Hands out the next record of a table, zeroed and backed; `index` receives its number. nullptr when full.
  template <class T>
  T* append(SectionId id, uint64_t& index) const {
    index = section(id).count.fetch_add(1, std::memory_order_acq_rel);
    return touch<T>(id, index);
  }

  /// Copies `text` (NUL added) into the strings section. 0 when it is empty or there is no room
  /// (Dropped::strings_full). Lock-free, async-signal-safe.
  StringRef add_text(std::string_view text) const;

  /// How well a kind is seen from now on, and why not exactly.
  void cover(Kind kind, Coverage coverage, std::string_view reason = {}) const {
    header().coverage_reason[static_cast<size_t>(kind)] = add_text(reason);
    header().coverage[static_cast<size_t>(kind)] = static_cast<uint8_t>(coverage);
  }

  void drop(Dropped reason) const {
    header().dropped[static_cast<uint32_t>(reason)].fetch_add(1, std::memory_order_relaxed);
  }

  /// Makes bytes offset … offset + bytes safe to touch; false (counted) when storage cannot grow.
  bool ensure(uint64_t offset, size_t bytes) const {
    if (!populated_) return true;
    uint64_t first = offset / kPageBytes, last = (offset + bytes - 1) / kPageBytes;
    // A record may straddle two pages; most do not.
    if (first == last && populated_[first].load(std::memory_order_relaxed)) [[likely]]
      return true;
    return populate(first, last, Shortage::counted);
  }

  /// Unmaps what of the ledger is not in use, as it may count for a limit. Async-signal-safe.
  void unmap_unused() const;

  /// Provides storage for the next `records` of a table, before a time when none can be allocated.
  void reserve(SectionId id, uint64_t records) const;

  /// Pages that a growing table gets at once: each time costs a system call, but each page memory of a short process.
  static constexpr uint64_t kPagesAtOnce = 4;

 private:
  bool is_there(uint64_t offset, size_t bytes) const {
    uint64_t first = offset / kPageBytes, last = (offset + bytes - 1) / kPageBytes;
    return !populated_ ||
           (populated_[first].load(std::memory_order_relaxed) && populated_[last].load(std::memory_order_relaxed));
  }
  enum class Shortage : uint8_t { counted, ignored };
  bool populate(uint64_t first_page, uint64_t last_page, Shortage shortage) const;

  std::byte* base_ = nullptr;
  std::atomic<uint8_t>* populated_ = nullptr;
  Extents* extents_ = nullptr;
  Room* room_ = nullptr;
  Backing backing_ = Backing::private_memory;
};

/// In a fork child: what other threads of the parent were at does not go on.
void reset_writers_after_fork();

/// Puts a complete section table for a ledger of at most `scale` eighths of the full size into `header`, sets
/// file_bytes and magic. State stays `starting`. `header` is zeroed memory.
void lay_out(Header& header, unsigned scale);
/// The same as in `like`, with nothing in use.
void lay_out_like(const Header& like, Header& header);

}  // namespace unfreed::ledger
