// The beginning of liburing's struct io_uring, as every liburing.so.2 has it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unfreed::hook {

struct LiburingRing {
  struct {
    uint32_t *head, *tail, *mask, *entries, *flags, *dropped, *array;
    std::byte* sqes;
    uint32_t first, end;  ///< entries that the next call submits: free-running numbers
    size_t bytes;
    std::byte* memory;
    uint32_t unused[4];
  } sq;
  struct {
    uint32_t *head, *tail, *mask, *entries, *flags, *overflow;
    std::byte* cqes;
    size_t bytes;
    std::byte* memory;
    uint32_t unused[4];
  } cq;
  uint32_t flags;
  int fd;
  uint32_t rest[6];
};
static_assert(offsetof(LiburingRing, cq) == 104 && offsetof(LiburingRing, fd) == 196 && sizeof(LiburingRing) == 224);

}  // namespace unfreed::hook
