// An object that another process has loaded: its dynamic symbols, read from that process's memory. (The file may have
// been replaced since.)
#pragma once

#include <elf.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trace/thread_memory.h"

namespace unfreed::trace {

class RemoteObject {
 public:
  RemoteObject() = default;
  /// `start`: where its first byte is mapped. `tid`: a live thread.
  RemoteObject(int tid, uintptr_t start);

  explicit operator bool() const { return symbols_ && names_ && gnu_hash_; }
  /// The address of a definition; 0: it has none.
  uintptr_t find(std::string_view name) const;
  /// Does `address` lie in a function of that name, of any version?
  bool is_in(std::string_view name, uintptr_t address) const;

 private:
  std::vector<Elf64_Sym> find_all(std::string_view name) const;

  ThreadMemory memory_{0};
  uintptr_t bias_ = 0;
  uintptr_t symbols_ = 0;
  uintptr_t names_ = 0;
  uintptr_t gnu_hash_ = 0;
};

}  // namespace unfreed::trace
