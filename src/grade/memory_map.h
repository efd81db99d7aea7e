// The process's mappings, as the kernel lists them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "grade/scratch.h"

namespace unfreed::grade {

enum class MappingUse : uint8_t {
  anonymous,
  heap,    ///< what brk gives
  stack,   ///< the main thread's
  file,    ///< of a file in a file system, /dev/shm included
  secret,  ///< memfd_secret(2): only the process itself can read it
  aio,     ///< where the kernel puts answers to io_submit(2)
  device,  ///< of a device: not memory
  kernel,  ///< [vvar] …
};

struct Mapping {
  uintptr_t low;
  uintptr_t high;
  bool readable;
  bool writable;
  bool executable;
  bool shared;
  MappingUse use;
  /// Of a file that is memory: memfd_create(2), /dev/shm, System V's, what MAP_SHARED | MAP_ANONYMOUS gives.
  bool is_memory_file = false;
};

class MemoryMap {
 public:
  /// Reads /proc/self/maps. False: it cannot be read, or there is no memory for it. Async-signal-safe.
  bool read();
  std::span<const Mapping> all() const { return {mappings_, count_}; }
  /// nullptr: nothing is mapped there.
  const Mapping* find(uintptr_t address) const;

 private:
  Scratch memory_, buffer_;
  Mapping* mappings_ = nullptr;
  size_t count_ = 0;
};

}  // namespace unfreed::grade
