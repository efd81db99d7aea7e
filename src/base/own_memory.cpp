#include "base/own_memory.h"

#include <sys/mman.h>

#include <atomic>

#include "base/syscall.h"

namespace unfreed::base {

namespace {
constexpr size_t kMaxMappings = 8192;
OwnMapping g_mappings[kMaxMappings];
std::atomic<size_t> g_count;
}  // namespace

void register_own_mapping(void* address, size_t bytes) {
  size_t index = g_count.fetch_add(1, std::memory_order_relaxed);
  if (index < kMaxMappings) g_mappings[index] = {reinterpret_cast<uintptr_t>(address), bytes};
}

namespace {
size_t whole_pages(size_t bytes) { return (bytes + 4095) & ~size_t{4095}; }
}  // namespace

void* own_memory(size_t bytes) {
  bytes = whole_pages(bytes);
  void* memory = map_memory(bytes);
  if (memory) register_own_mapping(memory, bytes);
  return memory;
}

void* own_memory_zeroed_in_children(size_t bytes) {
  bytes = whole_pages(bytes);
  void* memory = map_memory(bytes);
  // It fails where the process has as many mappings as it may: this one then shares a neighbour's.
  if (memory && !zero_in_fork_children(memory, bytes)) {
    unmap_memory(memory, bytes);
    memory = nullptr;
  }
  if (memory) register_own_mapping(memory, bytes);
  return memory;
}

bool zero_in_fork_children(void* start, size_t bytes) {
  long result = raw_syscall(SYS_madvise, reinterpret_cast<long>(start), static_cast<long>(bytes), MADV_WIPEONFORK);
  return !is_error(result);
}

bool own_mapping(size_t index, OwnMapping& out) {
  if (index >= g_count.load(std::memory_order_relaxed) || index >= kMaxMappings) return false;
  out = g_mappings[index];
  return true;
}

}  // namespace unfreed::base
