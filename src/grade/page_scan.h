// Scans the memory of a mapping for pointers, without making a page of it that is not there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "grade/heap_graph.h"
#include "grade/memory_map.h"
#include "grade/scratch.h"

namespace unfreed::grade {

class PageScan {
 public:
  explicit PageScan(HeapGraph& graph) : graph_(graph) {}
  ~PageScan();
  PageScan(const PageScan&) = delete;
  PageScan& operator=(const PageScan&) = delete;

  /// False: no memory.
  bool prepare();

  /// Can it be told, of a private mapping of a file, what was written to?
  bool knows_written() const { return page_map_ >= 0; }

  /// Scans [low, high) of `mapping`; of a private mapping of a file, what was written to. False: too much of it may or
  /// may not be there, as the kernel does not say, or it cannot be read.
  /// What could fault (a file that gets shorter, memory that the program has made unreadable) is read by a system call.
  bool scan(const Mapping& mapping, uintptr_t low, uintptr_t high, const RootPart& part);

 private:
  bool is_there(uint64_t entry, const Mapping& mapping) const;
  template <class Visit>
  bool each_known_run(const Mapping& mapping, uintptr_t low, uintptr_t high, Visit visit);
  template <class Visit>
  bool each_run(const Mapping& mapping, uintptr_t low, uintptr_t high, Visit visit);
  /// Pages that are in memory, or may be guards (MADV_GUARD_INSTALL), which the kernel calls swapped as well.
  enum class Pages : bool { present, maybe_guards };
  bool read(const Mapping& mapping, uintptr_t low, uintptr_t high, const RootPart& part, Pages pages);
  long copy(const Mapping& mapping, uintptr_t from, size_t bytes);

  HeapGraph& graph_;
  long page_map_ = -1;
  long memory_ = -1;  ///< /proc/self/mem, by which also what is protected from reading can be read
  Scratch entry_memory_, copy_memory_;
  uint64_t* entries_ = nullptr;
  uintptr_t* copy_ = nullptr;
};

}  // namespace unfreed::grade
