#include "ledger/view.h"

#include <cstring>

#include "ledger/writer.h"

namespace unfreed::ledger {

namespace {

/// What a section of this format version must look like, and how its faults are called.
struct Expectation {
  uint32_t record_bytes;
  const char* bad_records;
  const char* bad_place;
};
constexpr Expectation kExpected[kSectionCount] = {
#define SECTION(name, Record, records, reserved, scales, accessor) \
  {sizeof(Record), "section " #name " has records of another size", "section " #name " lies outside the file"},
#include "ledger/sections.inc"
#undef SECTION
};

/// True when `capacity` records at `offset` lie between the header and the end of the file.
bool fits(uint64_t offset, uint64_t capacity, uint32_t record_bytes, uint64_t file_bytes) {
  if (offset % kPageBytes != 0 || offset < kPageBytes || offset > file_bytes) return false;
  // Indexes and text references are 32 bits wide, so a larger table could not be addressed anyway.
  if (capacity > UINT32_MAX) return false;
  return capacity <= (file_bytes - offset) / record_bytes;
}

const char* check_header(std::span<const std::byte> bytes) {
  if (bytes.size() < kPageBytes) return "too short to be a ledger";
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignof(Header) != 0) return "not aligned in memory";
  const Header& header = *reinterpret_cast<const Header*>(bytes.data());
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return "not a ledger";
  if (header.byte_order != kByteOrder) return "written on a machine of another byte order";
  if (header.format_version != kFormatVersion) return "written in another format version than this program reads";
  if (header.header_bytes != sizeof(Header)) return "its header has another size";
  uint32_t state = header.state.load(std::memory_order_acquire);
  if (state == static_cast<uint32_t>(State::starting)) return "its process had not finished starting";
  if (state > static_cast<uint32_t>(State::replaced)) return "its state is not known";
  return nullptr;
}

}  // namespace

const char* View::open(std::span<const std::byte> bytes, View& out, const std::atomic<uint8_t>* backed) {
  out = View();
  if (const char* fault = check_header(bytes)) return fault;
  View view;
  view.header_ = reinterpret_cast<const Header*>(bytes.data());
  view.bytes_ = bytes;
  view.backed_ = backed;
  for (size_t index = 0; index < kSectionCount; ++index) {
    const Section& section = view.header_->sections[index];
    // Each field is read once: what was checked is what is kept, whatever is written there later.
    uint64_t offset = __atomic_load_n(&section.offset, __ATOMIC_RELAXED);
    uint64_t capacity = __atomic_load_n(&section.capacity, __ATOMIC_RELAXED);
    if (section.record_bytes != kExpected[index].record_bytes) return kExpected[index].bad_records;
    if (!fits(offset, capacity, kExpected[index].record_bytes, bytes.size())) return kExpected[index].bad_place;
    uint64_t end = offset + capacity * kExpected[index].record_bytes;
    for (size_t other = 0; other < index; ++other) {
      uint64_t other_offset = view.offsets_[other];
      uint64_t other_end = other_offset + view.capacities_[other] * kExpected[other].record_bytes;
      if (offset < other_end && other_offset < end) return "two of its sections overlap";
    }
    view.offsets_[index] = offset;
    view.capacities_[index] = capacity;
  }
  out = view;
  return nullptr;
}

const Section& View::section(SectionId id) const { return header_->sections[static_cast<uint32_t>(id)]; }

uint32_t View::count(SectionId id) const {
  if (!header_) return 0;
  uint64_t used = section(id).count.load(std::memory_order_acquire);
  uint64_t capacity = capacities_[static_cast<uint32_t>(id)];
  return static_cast<uint32_t>(used < capacity ? used : capacity);
}

bool View::is_backed(uint64_t offset, uint64_t bytes) const {
  if (!backed_) return true;
  uint64_t last = (offset + bytes - 1) / kPageBytes;
  for (uint64_t page = offset / kPageBytes; page <= last; ++page)
    if (backed_[page].load(std::memory_order_relaxed) == 0) return false;
  return true;
}

template <class T>
const T* View::record(SectionId id, uint64_t index) const {
  if (index >= count(id)) return nullptr;
  uint64_t offset = offsets_[static_cast<uint32_t>(id)] + index * sizeof(T);
  return is_backed(offset, sizeof(T)) ? reinterpret_cast<const T*>(bytes_.data() + offset) : nullptr;
}

#define SECTION(name, Record, records, reserved, scales, accessor) \
  const Record* View::accessor(uint32_t index) const { return record<Record>(SectionId::name, index); }
#include "ledger/sections.inc"
#undef SECTION

std::string_view View::text(StringRef ref) const {
  std::string_view text;
  find_text(ref, kMostTextBytes, text);
  return text;
}

/// False where there is no text that ends within `most_bytes`.
bool View::find_text(StringRef ref, uint32_t most_bytes, std::string_view& out) const {
  uint32_t used = count(SectionId::strings);
  if (ref == 0 || ref >= used) return false;
  uint64_t offset = offsets_[static_cast<uint32_t>(SectionId::strings)] + ref;
  const char* start = reinterpret_cast<const char*>(bytes_.data() + offset);
  // Page by page: text that was handed out without finding storage must not be touched.
  size_t seen = 0;
  for (size_t left = used - ref < most_bytes ? used - ref : most_bytes; left > 0;) {
    size_t step = kPageBytes - (offset + seen) % kPageBytes;
    if (step > left) step = left;
    if (!is_backed(offset + seen, step)) return false;
    if (const void* end = std::memchr(start + seen, '\0', step)) {
      out = {start, static_cast<size_t>(static_cast<const char*>(end) - start)};
      return true;
    }
    seen += step;
    left -= step;
  }
  return false;
}

std::string_view View::build_id_bytes(const Module& module) const {
  size_t size = module.build_id_bytes;
  if (size > sizeof module.build_id) size = sizeof module.build_id;
  return {reinterpret_cast<const char*>(module.build_id), size};
}

size_t View::stack(uint32_t leaf, std::span<const Node*> out) const {
  // A cycle is noticed by meeting a node again that was remembered at the last power of two.
  uint32_t remembered = 0;
  size_t remember_at = 1;
  size_t depth = 0;
  for (uint32_t index = leaf; index != 0 && depth < out.size() && index != remembered;) {
    const Node* node = this->node(index);
    if (!node) break;
    out[depth++] = node;
    if (depth == remember_at) {
      remembered = index;
      remember_at *= 2;
    }
    index = __atomic_load_n(&node->parent, __ATOMIC_RELAXED);
  }
  return depth;
}

namespace {
/// Which two of a cell's four counters a pass adds up.
enum class Side : uint8_t { released, acquired };

template <class Counters>
void add(Side side, const Counters& from, Counts& to) {
  if (side == Side::released) {
    to.released += from.released.load(std::memory_order_relaxed);
    to.released_bytes += from.released_bytes.load(std::memory_order_relaxed);
  } else {
    to.acquired += from.acquired.load(std::memory_order_relaxed);
    to.acquired_bytes += from.acquired_bytes.load(std::memory_order_relaxed);
  }
}

void add_side(const View& view, Side side, std::span<Counts> out) {
  uint32_t sites = view.site_count();
  for (uint32_t index = 0; index < sites && index < out.size(); ++index)
    if (const Site* site = view.site(index)) add(side, *site, out[index]);
  uint32_t chunks = view.chunk_count();
  for (uint32_t index = 0; index < chunks; ++index) {
    const ChunkHead* head = view.chunk_head(index);
    const Chunk* chunk = view.chunk(index);
    uint32_t base = head ? head->base.load(std::memory_order_acquire) : 0;
    if (base == 0 || !chunk) continue;
    uint64_t first = uint64_t{base - 1} * kChunkCells;
    for (uint32_t cell = 0; cell < kChunkCells && first + cell < out.size(); ++cell)
      add(side, chunk->cells[cell], out[first + cell]);
  }
}

void round_estimate(uint64_t& acquired, uint64_t& released) {
  auto rounded = [](uint64_t amount) {
    return (amount >> kSampledCountShift) + (amount >> (kSampledCountShift - 1) & 1);
  };
  uint64_t live = rounded(acquired - released);
  acquired = rounded(acquired);
  released = acquired > live ? acquired - live : 0;
}

/// Turns what was counted of a sampled heap into whole blocks and bytes.
void round_estimates(const View& view, std::span<Counts> out) {
  for (uint32_t index = 0; index < out.size(); ++index) {
    const Site* site = view.site(index);
    if (!site || static_cast<Kind>(site->kind) != Kind::heap) continue;
    round_estimate(out[index].acquired, out[index].released);
    round_estimate(out[index].acquired_bytes, out[index].released_bytes);
  }
}
}  // namespace

bool View::sum_counts(std::span<Counts> out) const {
  constexpr int kAttempts = 8;
  bool settled = false;
  for (int attempt = 0; attempt < kAttempts && !settled; ++attempt) {
    uint32_t before = header_->fold_sequence.load(std::memory_order_acquire);
    for (Counts& counts : out) counts = Counts{};
    // All that was released before all that was acquired, over all threads: a block that one acquired and another
    // released in the meantime is then seen as held.
    add_side(*this, Side::released, out);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    add_side(*this, Side::acquired, out);
    std::atomic_thread_fence(std::memory_order_acquire);
    settled = before % 2 == 0 && header_->fold_sequence.load(std::memory_order_relaxed) == before;
  }
  for (Counts& counts : out) {
    if (counts.released > counts.acquired) counts.released = counts.acquired;
    if (counts.released_bytes > counts.acquired_bytes) counts.released_bytes = counts.acquired_bytes;
  }
  if (header_->sample_bytes) round_estimates(*this, out);
  return settled;
}

}  // namespace unfreed::ledger
