#include "ledger/frozen.h"

#include <algorithm>
#include <cstring>

#include "base/address_space.h"
#include "base/syscall.h"

namespace unfreed::ledger {

namespace {

/// The copy's own texts come after this much room for those that the ledger gets meanwhile.
constexpr uint64_t kTextsToCome = 64 * 1024;

uint64_t used(const Writer& writer, SectionId id) {
  const Section& table = writer.section(id);
  return std::min(table.count.load(std::memory_order_acquire), table.capacity);
}

bool is_backed(const Writer& writer, uint64_t page) {
  return !writer.backed() || writer.backed()[page].load(std::memory_order_acquire);
}

/// Copies the pages of first … end that have storage; both may lie anywhere in a page.
void copy_pages(const Writer& from, const Writer& to, uint64_t first, uint64_t end) {
  while (first < end) {
    uint64_t stop = std::min(end, (first / kPageBytes + 1) * kPageBytes);
    if (is_backed(from, first / kPageBytes))
      std::memcpy(static_cast<std::byte*>(to.base()) + first, static_cast<const std::byte*>(from.base()) + first,
                  stop - first);
    first = stop;
  }
}

}  // namespace

Frozen::~Frozen() {
  if (!bytes_) return;
  base::unmap_memory(writer_.base(), bytes_);
  base::return_address_space(bytes_);
}

bool Frozen::take(const Writer& live) {
  uint64_t bytes = live.header().file_bytes;
  if (!base::may_take_address_space(bytes)) return false;
  void* place = base::map_memory(bytes);
  if (!place) {
    base::return_address_space(bytes);
    return false;
  }
  base::leave_out_of_dumps(place, bytes);
  bytes_ = bytes;
  writer_ = Writer(place);
  const auto& sequence = live.header().fold_sequence;
  // A thread that ends moves its counters: what is copied meanwhile would have them twice, or not at all.
  constexpr int kMostTries = 4;
  for (int tries = 0; tries < kMostTries; ++tries) {
    uint32_t before = sequence.load(std::memory_order_acquire);
    copy_pages(live, writer_, 0, kPageBytes);
    // What refers to other tables first: all that is referred to is then there.
    for (SectionId id : {SectionId::chunk_heads, SectionId::chunks, SectionId::sites}) copy_section(live, id, 0);
    if (!(before & 1) && sequence.load(std::memory_order_acquire) == before) break;
  }
  for (size_t number = 0; number < kSectionCount; ++number) {
    auto id = static_cast<SectionId>(number);
    constexpr SectionId kElsewhere[] = {SectionId::chunk_heads, SectionId::chunks,  SectionId::sites,
                                        SectionId::nodes,       SectionId::modules, SectionId::strings};
    if (std::find(std::begin(kElsewhere), std::end(kElsewhere), id) == std::end(kElsewhere)) copy_section(live, id, 0);
  }
  for (SectionId id : {SectionId::nodes, SectionId::modules, SectionId::strings}) copy_section(live, id, 0);
  texts_then_ = writer_.section(SectionId::strings).count.fetch_add(kTextsToCome, std::memory_order_relaxed);
  return View::open({static_cast<std::byte*>(place), bytes}, view_) == nullptr;
}

void Frozen::copy_section(const Writer& live, SectionId id, uint64_t first_record) {
  const Section& table = live.section(id);
  uint64_t count = used(live, id);
  writer_.section(id).count.store(count, std::memory_order_relaxed);
  if (count <= first_record) return;
  copy_pages(live, writer_, table.offset + first_record * table.record_bytes,
             table.offset + count * table.record_bytes);
}

void Frozen::take_thread_stacks(const Writer& live) {
  for (SectionId id : {SectionId::nodes, SectionId::modules}) copy_section(live, id, used(writer_, id));
  // The ledger's new texts go where the copy has left room for them.
  uint64_t texts = live.section(SectionId::strings).offset;
  uint64_t texts_now = std::min(used(live, SectionId::strings), texts_then_ + kTextsToCome);
  copy_pages(live, writer_, texts + texts_then_, texts + texts_now);
  uint64_t threads = std::min(used(live, SectionId::threads), used(writer_, SectionId::threads));
  for (uint64_t at = 0; at < threads; ++at) {
    auto* now = live.known<ThreadRecord>(SectionId::threads, at);
    auto* then = writer_.known<ThreadRecord>(SectionId::threads, at);
    if (!now || !then || now->serial != then->serial || now->tid != then->tid) continue;
    then->current_ns = now->current_ns;
    then->current_node = now->current_node;
    then->current_truncated = now->current_truncated;
  }
}

}  // namespace unfreed::ledger
