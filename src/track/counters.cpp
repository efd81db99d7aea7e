#include "track/counters.h"

#include "base/lock.h"

namespace unfreed::track {

using ledger::Cell;
using ledger::Chunk;
using ledger::ChunkHead;
using ledger::SectionId;
using ledger::Site;

namespace {

constinit base::Lock g_chunk_lock;
constexpr uint32_t kMostFreeChunks = 4096;
uint32_t g_free_chunks[kMostFreeChunks];
uint32_t g_free_chunk_count;

/// A zeroed chunk's index. Caller holds g_chunk_lock.
bool take_chunk(uint64_t& index) {
  if (g_free_chunk_count) {
    index = g_free_chunks[--g_free_chunk_count];
    return true;
  }
  const ledger::Writer& writer = g_tracker.writer;
  auto& used = writer.section(SectionId::chunk_heads).count;
  index = used.load(std::memory_order_relaxed);
  if (!writer.touch<ChunkHead>(SectionId::chunk_heads, index) || !writer.touch<Chunk>(SectionId::chunks, index))
    return false;
  used.store(index + 1, std::memory_order_release);
  writer.section(SectionId::chunks).count.store(index + 1, std::memory_order_release);
  return true;
}

}  // namespace

Cell* make_cell(ThreadState& state, uint32_t site) {
  uint32_t base = site / ledger::kChunkCells;
  base::Hold hold(g_chunk_lock);
  uint64_t index;
  if (!take_chunk(index)) return nullptr;
  const ledger::Writer& writer = g_tracker.writer;
  auto* chunk = writer.at<Chunk>(SectionId::chunks, index);
  auto* head = writer.at<ChunkHead>(SectionId::chunk_heads, index);
  head->tid = state.tid;
  head->base.store(base + 1, std::memory_order_release);
  state.used_chunks[state.used_chunk_count++] = static_cast<uint16_t>(base);
  state.chunks[base] = chunk;
  return &chunk->cells[site % ledger::kChunkCells];
}

void count_acquired_shared(uint32_t index, uint64_t blocks, uint64_t bytes) {
  Site& site = site_at(index);
  site.acquired.fetch_add(blocks, std::memory_order_relaxed);
  if (bytes) site.acquired_bytes.fetch_add(bytes, std::memory_order_relaxed);
}

void count_released_shared(uint32_t index, uint64_t blocks, uint64_t bytes) {
  Site& site = site_at(index);
  site.released.fetch_add(blocks, std::memory_order_relaxed);
  if (bytes) site.released_bytes.fetch_add(bytes, std::memory_order_relaxed);
}

void count_foreign_release(ledger::Kind kind) {
  totals_of(kind).foreign_released.fetch_add(1, std::memory_order_relaxed);
}

namespace {
void add_net(const Cell& cell, NetHeap& net) {
  auto value = [](const std::atomic<uint64_t>& counter) {
    return static_cast<int64_t>(counter.load(std::memory_order_relaxed));
  };
  net.blocks += value(cell.acquired) - value(cell.released);
  net.bytes += value(cell.acquired_bytes) - value(cell.released_bytes);
}
}  // namespace

NetHeap fold_counters(ThreadState& state) {
  if (!state.used_chunk_count) return {};
  const ledger::Writer& writer = g_tracker.writer;
  base::Hold hold(g_chunk_lock);
  // Readers that see the sequence odd, or changed, sum again: a cell is then counted once, here or there.
  auto& sequence = writer.header().fold_sequence;
  sequence.fetch_add(1, std::memory_order_acq_rel);
  auto* first = writer.at<Chunk>(SectionId::chunks, 0);
  NetHeap net;
  for (uint32_t i = 0; i < state.used_chunk_count; ++i) {
    uint32_t base = state.used_chunks[i];
    Chunk* chunk = state.chunks[base];
    state.chunks[base] = nullptr;
    auto move = [](std::atomic<uint64_t>& from, std::atomic<uint64_t>& to) {
      uint64_t amount = from.load(std::memory_order_relaxed);
      if (!amount) return;
      to.fetch_add(amount, std::memory_order_relaxed);
      from.store(0, std::memory_order_relaxed);
    };
    for (uint32_t cell = 0; cell < ledger::kChunkCells; ++cell) {
      Cell& from = chunk->cells[cell];
      if (!from.acquired.load(std::memory_order_relaxed) && !from.released.load(std::memory_order_relaxed)) continue;
      Site& site = site_at(base * ledger::kChunkCells + cell);
      add_net(from, net);
      move(from.acquired, site.acquired);
      move(from.released, site.released);
      move(from.acquired_bytes, site.acquired_bytes);
      move(from.released_bytes, site.released_bytes);
    }
    // A chunk beyond the free list's room keeps its place, empty: harmless, and a thread count that high is rare.
    if (g_free_chunk_count < kMostFreeChunks) {
      auto index = static_cast<uint32_t>(chunk - first);
      writer.at<ChunkHead>(SectionId::chunk_heads, index)->base.store(0, std::memory_order_release);
      g_free_chunks[g_free_chunk_count++] = index;
    }
  }
  state.used_chunk_count = 0;
  sequence.fetch_add(1, std::memory_order_acq_rel);
  return net;
}

void reset_counters_after_fork() {
  g_chunk_lock.reset();
  g_free_chunk_count = 0;
}

}  // namespace unfreed::track
