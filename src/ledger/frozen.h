// A private copy of the process's own ledger, as it is at one moment: for a report that is made while the program goes
// on, and perhaps gives everything back. Unlike Copy it is made from memory, inside the process: only what is used and
// backed is copied, at the same offsets, so it takes as much memory as the ledger has in use.
// Allocation-free, async-signal-safe. The mapping is inherited by copies of the process.
#pragma once

#include <cstdint>

#include "ledger/view.h"
#include "ledger/writer.h"

namespace unfreed::ledger {

class Frozen {
 public:
  Frozen() = default;
  ~Frozen();
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

  /// Copies `live`. False: there is no memory (or no address space) for it.
  bool take(const Writer& live);

  /// Stacks of running threads that the ledger has got since: where the threads stand, not whether they are there.
  void take_thread_stacks(const Writer& live);

  explicit operator bool() const { return bytes_ != 0; }
  Writer& writer() { return writer_; }
  const View& view() const { return view_; }

 private:
  void copy_section(const Writer& live, SectionId id, uint64_t first_record);

  Writer writer_;
  View view_;
  uint64_t bytes_ = 0;
  uint64_t texts_then_ = 0;  ///< in use when it was taken
};

}  // namespace unfreed::ledger
