// A read-only, bounds-checked view of a ledger, for both halves: over the live mapping in the process itself, or over a
// copy in the reader. A ledger is untrusted input: root may be asked to read a user's. Every index, offset and count is
// checked here, so code above never touches raw sections. Allocation-free, async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "ledger/layout.h"

namespace unfreed::ledger {

class View {
 public:
  View() = default;

  /// Checks the header and section table of `bytes` (which must outlive the view and be 8-byte aligned). Returns
  /// nullptr when it can be read, else a static message saying what is wrong ("not a ledger", "format version 7, this
  /// program reads 1", "section sites lies outside the file" …). `backed`, for a view over a live shared mapping: the
  /// writer's map of pages that have storage (a read of any other would be SIGBUS on a full tmpfs). Records and text
  /// without storage are read as absent.
  static const char* open(std::span<const std::byte> bytes, View& out, const std::atomic<uint8_t>* backed = nullptr);

  const Header& header() const { return *header_; }

  /// Text at `ref`; "" for 0, for references outside the section and for text without an end within kMostTextBytes: any
  /// number of records may refer to one text, so none may be as long as the section.
  std::string_view text(StringRef ref) const;
  static constexpr uint32_t kMostTextBytes = 64 * 1024;

  /// Calls `visit(std::string_view)` for each of at most `most` NUL-terminated strings, one after the other from
  /// `first` on. Stops at the section's end, and at text that has no end: no byte is read twice.
  template <class Visit>
  void each_text(StringRef first, uint32_t most, Visit visit) const {
    std::string_view text;
    for (; most > 0 && find_text(first, UINT32_MAX, text); --most) {
      visit(text);
      first += static_cast<StringRef>(text.size()) + 1;
    }
  }

  /// The records of each section: nullptr when out of range or without storage; and how many are in use (never more
  /// than fit; index 0 of modules, nodes and sites is the reserved "none" record).
#define SECTION(name, Record, records, reserved, scales, accessor) \
  const Record* accessor(uint32_t index) const;                    \
  uint32_t accessor##_count() const { return count(SectionId::name); }
#include "ledger/sections.inc"
#undef SECTION
  uint32_t text_bytes() const { return count(SectionId::strings); }

  std::string_view build_id_bytes(const Module& module) const;  ///< raw bytes, bounds-checked

  /// Writes the stack's nodes, innermost first, to `out`; returns how many. Cycles and bad indexes end it.
  size_t stack(uint32_t leaf, std::span<const Node*> out) const;

  /// Sums every site's counters over finished and running threads into `out` (one entry per site; shorter spans are
  /// filled as far as they go). released is read before acquired, so live never reads below zero; sums that were
  /// disturbed by a thread's end are taken again a few times. Returns false if they never settled. Of a sampled heap:
  /// estimates, in whole blocks and bytes.
  bool sum_counts(std::span<Counts> out) const;

 private:
  uint32_t count(SectionId id) const;
  const Section& section(SectionId id) const;
  bool is_backed(uint64_t offset, uint64_t bytes) const;
  bool find_text(StringRef ref, uint32_t most_bytes, std::string_view& out) const;
  template <class T>
  const T* record(SectionId id, uint64_t index) const;

  const Header* header_ = nullptr;
  std::span<const std::byte> bytes_;
  const std::atomic<uint8_t>* backed_ = nullptr;
  // Offsets and capacities as validated: the file may be changed under us by its writer.
  uint64_t offsets_[kSectionCount] = {};
  uint64_t capacities_[kSectionCount] = {};
};

}  // namespace unfreed::ledger
