#include "trace/thread_memory.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/syscall.h"

namespace unfreed::trace {

long ThreadMemory::read(uintptr_t address, void* to, size_t bytes) const {
  if (!is_copied_) return base::copy_memory(tid_, address, to, bytes);
  for (const Piece& piece : pieces_) {
    if (address < piece.address || address - piece.address >= piece.bytes.size()) continue;
    size_t size = std::min(bytes, piece.bytes.size() - (address - piece.address));
    std::memcpy(to, piece.bytes.data() + (address - piece.address), size);
    return static_cast<long>(size);
  }
  return -EFAULT;
}

long ThreadMemory::read_constant(uintptr_t address, void* to, size_t bytes) const {
  return base::copy_memory(tid_, address, to, bytes);
}

std::string ThreadMemory::read_text(uintptr_t address, size_t most) const {
  constexpr size_t kPage = 4096;
  std::string text;
  while (address && text.size() < most) {
    char piece[kPage];
    size_t wanted = std::min(most - text.size(), kPage - address % kPage);
    long got = read(address, piece, wanted);
    if (got <= 0) break;
    size_t size = strnlen(piece, static_cast<size_t>(got));
    text.append(piece, size);
    if (size < static_cast<size_t>(got)) break;
    address += size;
  }
  return text;
}

}  // namespace unfreed::trace
