// A private, writable copy of a ledger file, which the command reads. The file belongs to another process, perhaps of
// another user, that may be writing it, or may have forged it. The copy does not change, and cannot be truncated under
// its reader (a mapping can: SIGBUS). Only what is used is copied, and only that is mapped, at the same offsets.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ledger/view.h"
#include "ledger/writer.h"

namespace unfreed::ledger {

/// Why a ledger could not be loaded.
struct CopyError {
  const char* message = nullptr;  ///< static; nullptr: no error
  int error = 0;                  ///< errno if the kernel refused, else 0
  explicit operator bool() const { return message != nullptr; }
};

class Copy {
 public:
  /// Larger files are not ledgers: one at full size takes three quarters of this.
  static constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

  Copy() = default;
  ~Copy();
  Copy(Copy&& other) noexcept;
  Copy& operator=(Copy&& other) noexcept;
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  /// Reads the ledger at `path`: a regular file, not a link. What was loaded before is dropped, even on failure.
  CopyError load(const char* path);
  /// Reads it from an open file, which stays the caller's.
  CopyError load(long file);

  explicit operator bool() const { return base_ != nullptr; }
  const View& view() const { return view_; }
  Writer& writer() { return writer_; }

 private:
  CopyError check_file();
  CopyError take_memory();
  bool map(uint64_t start, uint64_t end);
  bool map_used(SectionId id);
  CopyError copy_all();
  CopyError copy_header();
  CopyError copy_section(SectionId id);
  CopyError copy_counters();
  CopyError copy_sites_and_chunks();
  CopyError read_acquired_again();
  CopyError copy_range(uint64_t offset, uint64_t bytes,
                       void (*take)(std::byte* to, const std::byte* from, size_t bytes));
  CopyError copy_data(uint64_t offset, uint64_t end, void (*take)(std::byte* to, const std::byte* from, size_t bytes));
  CopyError read_at(uint64_t offset, void* out, size_t bytes) const;
  Section& section(SectionId id) const;
  bool is_running() const;
  void reset();

  /// What a writer needs to add to it; behind it there is a byte for each page.
  struct Growth {
    Extents extents;
    uint64_t ends[kSectionCount];  ///< of what is mapped so far
    std::atomic<uint8_t> populated[1];
  };

  std::byte* base_ = nullptr;
  Growth* growth_ = nullptr;
  uint64_t bytes_ = 0;  ///< of the file, in whole pages
  long file_ = -1;      ///< while it is being read
  View view_;
  Writer writer_;
};

}  // namespace unfreed::ledger
