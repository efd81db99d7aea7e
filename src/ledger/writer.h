// Writing a ledger: places records in its sections and finds backing for them before they are touched. Used by the
// runtime over the shared mapping, and by the reader over its private copy (which it completes with kernel facts).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ledger/layout.h"

namespace unfreed::ledger {

/// A touch of a shared mapping on a full tmpfs is SIGBUS, so its storage is asked for before it is touched
/// (MADV_POPULATE_WRITE). Private memory needs no such care.
enum class Backing : uint8_t { private_memory, shared_file };

class Writer {
 public:
  Writer() = default;
  /// `base` is a ledger with a valid header and section table; `populated` has one byte per page of the file,
  /// zero at first (may be nullptr for private memory). Both outlive the writer.
  Writer(void* base, Backing backing, std::atomic<uint8_t>* populated)
      : base_(static_cast<std::byte*>(base)), populated_(populated), backing_(backing) {}

  explicit operator bool() const { return base_ != nullptr; }
  /// The same ledger after its mapping has been moved to `base`.
  Writer moved_to(void* base) const { return Writer(base, backing_, populated_); }
  void* base() const { return base_; }
  /// Which pages have storage, for a View over the same memory; nullptr where all have.
  const std::atomic<uint8_t>* backed() const { return backing_ == Backing::shared_file ? populated_ : nullptr; }
  Header& header() const { return *reinterpret_cast<Header*>(base_); }
  Section& section(SectionId id) const { return header().sections[static_cast<uint32_t>(id)]; }

  /// The record's place whether or not it is backed. For records that are known to be.
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

  /// Hands out the next record of a table, zeroed and backed; `index` receives its number. nullptr when full.
  template <class T>
  T* append(SectionId id, uint64_t& index) const {
    index = section(id).count.fetch_add(1, std::memory_order_acq_rel);
    return touch<T>(id, index);
  }

  /// Copies `text` (NUL added) into the strings section. 0 when it is empty or there is no room
  /// (Dropped::strings_full). Lock-free, async-signal-safe.
  StringRef add_text(std::string_view text) const;

  void drop(Dropped reason) const {
    header().dropped[static_cast<uint32_t>(reason)].fetch_add(1, std::memory_order_relaxed);
  }

  /// Makes bytes offset … offset + bytes safe to touch; false (counted) when storage cannot grow.
  bool ensure(uint64_t offset, size_t bytes) const {
    if (backing_ == Backing::private_memory) return true;
    uint64_t first = offset / kPageBytes, last = (offset + bytes - 1) / kPageBytes;
    // A record may straddle two pages; most do not.
    if (first == last && populated_[first].load(std::memory_order_relaxed)) [[likely]]
      return true;
    return populate(first, last);
  }

  /// Backs the next `records` of a table beyond those in use, for times when nothing can be backed.
  void reserve(SectionId id, uint64_t records) const;

  /// Pages that a growing table is given at once: each time is a system call, but each page costs a short process time.
  static constexpr uint64_t kPagesAtOnce = 4;

 private:
  bool populate(uint64_t first_page, uint64_t last_page) const;

  std::byte* base_ = nullptr;
  std::atomic<uint8_t>* populated_ = nullptr;
  Backing backing_ = Backing::private_memory;
};

/// Puts a complete section table for a ledger of at most `scale` eighths of the full size into `header`, sets
/// file_bytes and magic. State stays `starting`. `header` is zeroed memory.
void lay_out(Header& header, unsigned scale);

}  // namespace unfreed::ledger
