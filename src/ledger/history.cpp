#include "ledger/history.h"

#include <algorithm>

namespace unfreed::ledger {

namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kShortest = 100 * kMillisecond, kLongest = 60'000 * kMillisecond, kPartOfAge = 32;

/// The parts of a look are at least so far apart, and read about so many cache lines.
constexpr uint64_t kPause = 10 * kMillisecond, kMostLines = 4096;
constexpr uint32_t kHeadsInLine = 64 / sizeof(ChunkHead), kLinesOfChunk = sizeof(Chunk) / 64;

/// Fewer more are not worth a record.
constexpr uint64_t kFewestBlocks = 8, kFewestOthers = 4;

constexpr size_t kPlaces = 8192;
size_t first_place(uint32_t site) { return site * 0x9e3779b1u >> 19; }
static_assert(UINT32_MAX >> 19 == kPlaces - 1);

}  // namespace

void History::start(uint64_t now_ns) {
  // In a fork child, other threads may have written to some of its pages as they were copied.
  for (auto& place : places_)
    if (place.load(std::memory_order_relaxed)) place.store(0, std::memory_order_relaxed);
  started_ns_.store(now_ns, std::memory_order_relaxed);
  look_.store(1, std::memory_order_relaxed);
  next_base_.store(0, std::memory_order_relaxed);
  is_full_.store(false, std::memory_order_relaxed);
  due_ns_.store(now_ns + kShortest, std::memory_order_release);
}

uint64_t History::distance_ns(uint64_t age_ns) { return std::clamp(age_ns / kPartOfAge, kShortest, kLongest); }

unsigned History::place_of(uint64_t look) {
  unsigned level = std::min<unsigned>(static_cast<unsigned>(__builtin_ctzll(look)), kHistoryLevels - 1);
  return 2 * level + (look >> (level + 1) & 1);
}

void History::look(const Writer& writer, uint64_t now_ns) {
  uint64_t due = due_ns_.load(std::memory_order_acquire);
  if (now_ns < due || !due_ns_.compare_exchange_strong(due, now_ns + kPause, std::memory_order_acq_rel)) return;
  uint32_t base = next_base_.load(std::memory_order_acquire);
  if (!base) began_ns_.store(now_ns, std::memory_order_relaxed);
  const Section& sites = writer.section(SectionId::sites);
  uint64_t count = std::min(sites.count.load(std::memory_order_acquire), sites.capacity);
  auto bases = static_cast<uint32_t>((count + kChunkCells - 1) / kChunkCells);
  for (uint64_t lines = 0; base < bases && lines < kMostLines; ++base)
    lines += look_at(writer, base,
                     static_cast<uint32_t>(std::min<uint64_t>(count - uint64_t{base} * kChunkCells, kChunkCells)));
  if (base < bases) return next_base_.store(base, std::memory_order_release);
  next_base_.store(0, std::memory_order_release);
  look_.fetch_add(1, std::memory_order_release);
  uint64_t started = started_ns_.load(std::memory_order_relaxed);
  due_ns_.store(now_ns + distance_ns(now_ns > started ? now_ns - started : 0), std::memory_order_release);
}

/// What is live at the sites of one chunk.
struct History::Sum {
  std::array<int64_t, kChunkCells> live{};
  std::array<int64_t, kChunkCells> bytes{};

  void add(uint32_t at, const auto& counts) {
    auto value = [](const std::atomic<uint64_t>& count) {
      return static_cast<int64_t>(count.load(std::memory_order_relaxed));
    };
    live[at] += value(counts.acquired) - value(counts.released);
    bytes[at] += value(counts.acquired_bytes) - value(counts.released_bytes);
  }
};

/// At the first sites that share a chunk. Returns how many cache lines were read.
uint64_t History::look_at(const Writer& writer, uint32_t base, uint32_t count) {
  const auto& sequence = writer.header().fold_sequence;
  uint32_t before = sequence.load(std::memory_order_acquire);
  Sum sum;
  for (uint32_t at = 0; at < count; ++at)
    if (auto* site = writer.known<Site>(SectionId::sites, uint64_t{base} * kChunkCells + at)) sum.add(at, *site);
  const Section& table = writer.section(SectionId::chunk_heads);
  uint64_t heads = std::min(table.count.load(std::memory_order_acquire), table.capacity);
  uint64_t lines = kChunkCells + heads / kHeadsInLine;
  for (uint64_t index = 0; index < heads; ++index) {
    auto* head = writer.known<ChunkHead>(SectionId::chunk_heads, index);
    if (!head || head->base.load(std::memory_order_acquire) != base + 1) continue;
    auto* chunk = writer.known<Chunk>(SectionId::chunks, index);
    if (!chunk) continue;
    for (uint32_t at = 0; at < count; ++at) sum.add(at, chunk->cells[at]);
    lines += kLinesOfChunk;
  }
  // A thread that has ended meanwhile has moved its counts: these sites have no sample of this look.
  std::atomic_thread_fence(std::memory_order_acquire);
  if (before % 2 || sequence.load(std::memory_order_relaxed) != before) return lines;
  for (uint32_t at = 0; at < count; ++at) {
    uint32_t index = base * kChunkCells + at;
    auto* site = index ? writer.known<Site>(SectionId::sites, index) : nullptr;
    if (!site || !site->first_ns || site->flags & kSiteLibc) continue;
    bool is_heap = site->kind == static_cast<uint8_t>(Kind::heap);
    unsigned shift = is_heap && writer.header().sample_bytes ? kSampledCountShift : 0;
    auto whole = [&](int64_t number) { return static_cast<uint64_t>(std::max<int64_t>(number, 0)) >> shift; };
    note(writer, index, *site, whole(sum.live[at]), whole(sum.bytes[at]));
  }
  return lines;
}

void History::note(const Writer& writer, uint32_t index, Site& site, uint64_t live, uint64_t bytes) {
  SiteHistory* history = find(writer, index);
  if (!history && has_grown(writer, site, live)) history = add(writer, index);
  if (!history) return;
  HistorySample& sample = history->samples[place_of(look_.load(std::memory_order_relaxed))];
  sample.at_ns.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  sample.live.store(live, std::memory_order_relaxed);
  sample.bytes.store(bytes, std::memory_order_relaxed);
  sample.at_ns.store(began_ns_.load(std::memory_order_relaxed), std::memory_order_release);
}

/// Of a site that is not in the table yet. Notes the lowest count, too.
bool History::has_grown(const Writer& writer, Site& site, uint64_t live) const {
  if (is_full_.load(std::memory_order_relaxed)) return false;
  bool is_heap = site.kind == static_cast<uint8_t>(Kind::heap);
  uint64_t lowest = 0;  // of what is not the heap: as it began
  if (is_heap) {
    lowest = site.live_then.load(std::memory_order_relaxed);
    if (!site.peak_then.load(std::memory_order_relaxed) || live < lowest) {
      uint64_t age = began_ns_.load(std::memory_order_relaxed) - started_ns_.load(std::memory_order_relaxed);
      site.live_then.store(static_cast<uint32_t>(std::min<uint64_t>(live, UINT32_MAX)), std::memory_order_relaxed);
      site.peak_then.store(std::max<uint32_t>(static_cast<uint32_t>(age >> kLowUnitShift), 1),
                           std::memory_order_relaxed);
      return false;
    }
  }
  const Section& table = writer.section(SectionId::histories);
  uint64_t used = table.count.load(std::memory_order_relaxed), left = table.capacity - std::min(used, table.capacity);
  uint64_t more = std::max(lowest / 4, is_heap ? kFewestBlocks : kFewestOthers);
  for (uint64_t part = table.capacity / 2; part > left && part > table.capacity / 64; part /= 2) more *= 4;
  return live >= lowest + more;
}

SiteHistory* History::find(const Writer& writer, uint32_t site) const {
  for (size_t place = first_place(site), tried = 0; tried < kPlaces; place = (place + 1) % kPlaces, ++tried) {
    uint16_t number = places_[place].load(std::memory_order_acquire);
    if (!number) return nullptr;
    auto* history = writer.at<SiteHistory>(SectionId::histories, number - 1u);
    if (history->site.load(std::memory_order_relaxed) == site) return history;
  }
  return nullptr;
}

/// nullptr: there is no room.
SiteHistory* History::add(const Writer& writer, uint32_t site) {
  auto& count = writer.section(SectionId::histories).count;
  uint64_t index = count.load(std::memory_order_relaxed);
  auto* made = writer.touch_if_room<SiteHistory>(SectionId::histories, index);
  if (!made) {
    is_full_.store(true, std::memory_order_relaxed);
    return nullptr;
  }
  // Another thread may be making a look, too, and has added a site meanwhile, be it this one or another: then the next
  // look adds it.
  if (!count.compare_exchange_strong(index, index + 1, std::memory_order_acq_rel)) return nullptr;
  made->site.store(site, std::memory_order_release);
  for (size_t place = first_place(site), tried = 0; tried < kPlaces; place = (place + 1) % kPlaces, ++tried) {
    uint16_t other = 0;
    if (places_[place].compare_exchange_strong(other, static_cast<uint16_t>(index + 1), std::memory_order_acq_rel))
      break;
    auto* history = writer.at<SiteHistory>(SectionId::histories, other - 1u);
    if (history->site.load(std::memory_order_relaxed) != site) continue;
    // It has added the same one right before: this record stays empty.
    made->site.store(0, std::memory_order_release);
    return history;
  }
  return made;
}

}  // namespace unfreed::ledger
