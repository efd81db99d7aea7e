#include "base/arena.h"

#include <algorithm>

#include "base/syscall.h"

namespace unfreed::base {

namespace {
/// Untouched pages cost nothing, so chunks may be generous; they grow with the work.
constexpr size_t kFirstChunkBytes = size_t{256} << 10;
constexpr size_t kMostChunkBytes = size_t{16} << 20;
constexpr size_t kPage = 4096;
}  // namespace

Arena::~Arena() {
  for (Chunk* chunk = newest_; chunk;) {
    Chunk* older = chunk->older;
    unmap_memory(chunk, chunk->bytes);
    chunk = older;
  }
}

void* Arena::take(size_t bytes, size_t alignment) {
  size_t start = (used_ + alignment - 1) & ~(alignment - 1);
  if (newest_ && start <= newest_->bytes && bytes <= newest_->bytes - start) {
    used_ = start + bytes;
    return reinterpret_cast<std::byte*>(newest_) + start;
  }
  size_t head = (sizeof(Chunk) + alignment - 1) & ~(alignment - 1);
  size_t wanted = newest_ ? std::min(newest_->bytes * 2, kMostChunkBytes) : kFirstChunkBytes;
  size_t needed;
  if (__builtin_add_overflow(bytes, head + kPage - 1, &needed)) {
    short_ = true;
    return nullptr;
  }
  needed &= ~(kPage - 1);
  void* memory = map_memory(std::max(wanted, needed));
  // Where address space is scarce, exactly what is needed may still be there.
  size_t got = std::max(wanted, needed);
  if (!memory) memory = map_memory(got = needed);
  if (!memory) {
    short_ = true;
    return nullptr;
  }
  newest_ = new (memory) Chunk{newest_, got};
  used_ = head + bytes;
  return static_cast<std::byte*>(memory) + head;
}

std::string_view Arena::copy(std::string_view text) {
  if (text.empty()) return {};
  auto* place = static_cast<char*>(take(text.size(), 1));
  if (!place) return {};
  std::memcpy(place, text.data(), text.size());
  return {place, text.size()};
}

}  // namespace unfreed::base
