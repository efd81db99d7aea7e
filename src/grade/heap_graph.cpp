#include "grade/heap_graph.h"

#include <algorithm>
#include <cstring>

namespace unfreed::grade {

namespace {

constexpr size_t kWord = sizeof(uintptr_t);

}  // namespace

bool HeapGraph::prepare(size_t most_blocks) {
  most_ = most_blocks;
  blocks_ = block_memory_.reserve_dense<Block>(most_ + 1);
  queue_ = queue_memory_.reserve_dense<uint32_t>(most_ + 1);
  seeds_ = seed_memory_.reserve_array<uint32_t>(most_ + 1);
  nodes_ = node_memory_.reserve_dense<uint32_t>(most_ + 1);
  return blocks_ && queue_ && seeds_ && nodes_ && retention_.prepare() && most_ < UINT32_MAX;
}

void HeapGraph::keep_pointers(size_t most) {
  pointers_ = {};
  pointers_.is_complete = false;
  if (!most) return;
  to_ = pointer_memory_.reserve_dense<uint32_t>(most + 1);
  first_ = first_memory_.reserve_dense<uint32_t>(most_ + 1);
  last_ = last_memory_.reserve_dense<uint32_t>(most_ + 1);
  roots_ = root_memory_.reserve_array<Pointers::OfRoot>(most + 1);
  most_pointers_ = most;
  pointers_.is_kept = true;
  pointers_.is_complete = to_ && first_ && last_ && roots_;
  pointers_.to = to_;
  pointers_.first = first_;
  pointers_.last = last_;
  pointers_.roots = roots_;
}

void HeapGraph::keep_root(uint32_t root, uint32_t block) {
  pointers_.is_complete = pointers_.is_complete && pointers_.root_count < most_pointers_;
  if (pointers_.is_complete) roots_[pointers_.root_count++] = {root, block};
}

void HeapGraph::keep_pointer(const Holder& holder, uintptr_t word_address, uint32_t block) {
  if (!pointers_.is_complete) return;
  if (holder.part) return keep_root(holder_node(holder, word_address), block);
  pointers_.is_complete = pointers_.count < most_pointers_;
  if (pointers_.is_complete) to_[pointers_.count++] = block;
}

bool HeapGraph::index(std::span<const Range> constants) {
  constants_ = constants;
  if (!count_) return true;
  if (!index_.build(blocks())) return false;
  lowest_ = blocks_[0].start;
  span_ = end_of(blocks_[count_ - 1]) + 1 - lowest_;
  return true;
}

uint32_t HeapGraph::block_at(uintptr_t address, size_t page, uintptr_t beyond) const {
  const auto none = static_cast<uint32_t>(count_);
  uint32_t at = index_.last_by(address, page);
  if (at == BlockIndex::kNone) return none;
  const Block& block = blocks_[at];
  // An empty array with a cookie is known by what would be its first element.
  bool is_empty_array = block.bytes == kWord && address == block.start + kWord && !(block.flags & kBlockUnreadable) &&
                        word_at(block.start) == 0;
  return address < end_of(block) + beyond || is_empty_array ? at : none;
}

Block* HeapGraph::find_around(uintptr_t address) {
  if (address - lowest_ >= span_) return nullptr;
  size_t page = index_.page_of(address);
  if (page == BlockIndex::kNoPage) return nullptr;
  uint32_t at = block_at(address, page);
  return at < count_ ? &blocks_[at] : nullptr;
}

Block* HeapGraph::find(uintptr_t address) {
  Block* block = find_around(address);
  return block && block->start == address ? block : nullptr;
}

bool HeapGraph::is_virtual_table(uintptr_t address) const {
  auto* next = std::upper_bound(constants_.data(), constants_.data() + constants_.size(), address,
                                [](uintptr_t at, const Range& range) { return at < range.low; });
  constexpr size_t kBeforeTable = 2 * kWord;  // offset to top and type information
  return next != constants_.data() && address % kWord == 0 && address >= next[-1].low + kBeforeTable &&
         address + kWord <= next[-1].high;
}

/// Is a pointer into the middle of a block what its owner knows it by?
bool HeapGraph::is_start(const Block& block, uintptr_t address) const {
  uintptr_t offset = address - block.start;
  if (offset < kWord || block.flags & kBlockLibc) return true;  // its lowest bits are tags
  if (block.flags & kBlockUnreadable || block.bytes < kWord || offset % kWord != 0) return false;
  uintptr_t first = word_at(block.start);
  if (offset == kWord) {
    if (block.bytes == kWord) return first == 0;                            // new T[0]
    if (first == block.bytes - kWord || first == block.bytes) return true;  // the size, in front of it
    if (first != 0 && (block.bytes - kWord) % first == 0) return true;      // new T[first], with its cookie
  }
  constexpr uintptr_t kStringHeader = 3 * kWord;  // of std::string's characters: length, capacity, count of references
  if (offset == kStringHeader && block.bytes > kStringHeader) {
    uintptr_t capacity = word_at(block.start + kWord);
    if (first <= capacity && capacity + kStringHeader + 1 == block.bytes) return true;
  }
  if (block.bytes < offset + kWord) return false;
  uintptr_t table = word_at(address);
  return is_virtual_table(table) && is_virtual_table(first) && word_at(table - 2 * kWord) == uintptr_t{0} - offset;
}

uintptr_t HeapGraph::virtual_table_of(uintptr_t address) {
  const Block* block = find(address);
  if (!block || block->flags & (kBlockUnreadable | kBlockHandle) || block->bytes < kWord) return 0;
  uintptr_t table = word_at(address);
  return is_virtual_table(table) && word_at(table - 2 * kWord) == 0 ? table : 0;
}

uint32_t HeapGraph::holder_node(const Holder& holder, uintptr_t word_address) {
  if (!holder.part) return holder.node;
  Root root = holder.part->root;
  if (root.kind == ledger::RootKind::variable && holder.part->is_by_word && find_variable_) {
    if (word_address != last_word_) last_variable_ = find_variable_(variable_context_, word_address);
    last_word_ = word_address;
    root.place = last_variable_ - holder.part->base;
  } else if (holder.part->is_by_word) {
    root.place = word_address - holder.part->base;
  }
  return retention_.root(root, word_address);
}

template <HeapGraph::Mode kMode>
void HeapGraph::scan(const uintptr_t* words, size_t count, const Holder& holder) {
  RootRule rule = holder.part ? holder.part->rule : RootRule::plain;
  const uintptr_t* first = words;
  constexpr bool kIsAlive = kMode != Mode::lost && kMode != Mode::leaders;
  const auto kind = holder.part ? holder.part->root.kind : ledger::RootKind::variable;
  const bool is_on_stack = kind == ledger::RootKind::stack || kind == ledger::RootKind::registers;
  const uintptr_t beyond = kIsAlive && counts_ends_ && !is_on_stack ? 1 : 0;
  auto note_path = [&](uint32_t at) {
    uintptr_t word_address = holder.address + static_cast<uintptr_t>(words - first) * kWord;
    uint32_t node = holder_node(holder, word_address);
    bool is_handle = blocks_[at].flags & kBlockHandle;  // who knows the thread keeps its result
    nodes_[at] = is_handle ? node : retention_.step(node, blocks_[at].site, blocks_[at].start, word_address);
  };
  for (const uintptr_t* end = words + count; words != end; ++words) {
    uintptr_t word = *words, address = word & kAddressMask;
    if (address - lowest_ >= span_) [[likely]]
      continue;
    size_t page = index_.page_of(address);
    if (page == BlockIndex::kNoPage || (kIsAlive && !index_.is_any_unreached(page))) continue;
    uint32_t at = block_at(address, page, beyond);
    if (at == count_) continue;
    Block& block = blocks_[at];
    if constexpr (kIsAlive) {
      if (block.grade != Grade::unreached && !pointers_.is_kept) continue;
    }
    bool is_exact = address == block.start;
    if (block.flags & (kBlockHandle | kBlockStream)) {
      if (block.flags & kBlockHandle && (word != block.start || rule != RootRule::plain)) continue;
      if (block.flags & kBlockStream && (rule == RootRule::libc_data || holder.flags & kBlockStream)) continue;
    }
    if (word != address && !is_exact) continue;  // a tag, or no pointer at all
    if constexpr (kIsAlive) {
      if (pointers_.is_kept) {
        keep_pointer(holder, holder.address + static_cast<uintptr_t>(words - first) * kWord, at);
        if (block.grade != Grade::unreached) continue;
      }
    }
    if constexpr (kMode == Mode::root || kMode == Mode::reachable) {
      if (!is_exact && !is_start(block, address)) {
        if (block.flags & kBlockSeed) continue;
        block.flags |= kBlockSeed;
        block.offset = static_cast<uint16_t>(std::min<uintptr_t>(address - block.start, UINT16_MAX));
        seeds_[seed_count_++] = at;
        note_path(at);
        continue;
      }
      block.grade = Grade::reachable;
      was_reached(block, address, page);
      note_path(at);
      push(at);
    } else if constexpr (kMode == Mode::possibly) {
      block.grade = Grade::possibly_lost;
      was_reached(block, address, page);
      note_path(at);
      push(at);
    } else if constexpr (kMode == Mode::leaders) {
      uint32_t& leader = leaders_[at];
      if (block.grade != Grade::indirectly_lost || leader == leader_ || leader == kSeveralLeaders) continue;
      leader = leader ? kSeveralLeaders : leader_;
      push(at);  // a second time at most
    } else {
      if (block.grade == Grade::unreached) {
        block.grade = Grade::indirectly_lost;
        push(at);
      } else if (block.grade == Grade::lost) {
        block.grade = Grade::indirectly_lost;  // it began a clique that belongs to this one; who began this one: below
      }
    }
  }
}

void HeapGraph::scan_root(const uintptr_t* words, size_t count, const RootPart& part, uintptr_t address) {
  if (!span_) return;
  if (part.rule == RootRule::hidden) return find_hidden(reinterpret_cast<const std::byte*>(words), count * kWord);
  scan<Mode::root>(words, count, {&part, 0, 0, address});
}

void HeapGraph::reach_from(Block& block, ledger::RootKind kind) {
  if (block.grade != Grade::unreached) return;
  block.grade = Grade::reachable;
  was_reached(block);
  auto at = static_cast<uint32_t>(&block - blocks_);
  uint32_t root = retention_.root({kind, 0, 0}, 0);
  nodes_[at] = block.flags & kBlockHandle ? root : retention_.step(root, block.site, block.start, 0);
  if (pointers_.is_kept) keep_root(root, at);
  push(at);
}

void HeapGraph::follow() { drain<Mode::reachable>(); }

void HeapGraph::scan_code(std::span<const std::byte> code, const RootPart& part) {
  if (!span_) return;
  for (size_t at = 0; at + kWord <= code.size(); ++at) {
    uintptr_t word;
    std::memcpy(&word, code.data() + at, sizeof word);
    if (word - lowest_ < span_) scan_word(word, part);
  }
}

namespace {

/// The processor would notice only after some lines that it is read from end to end.
void prefetch_block(uintptr_t start, uint64_t bytes) {
  constexpr uint64_t kLine = 64, kMost = 16 * kLine;
  for (uint64_t at = kLine; at < std::min(bytes, kMost); at += kLine)
    __builtin_prefetch(reinterpret_cast<const void*>(start + at));
}

}  // namespace

template <HeapGraph::Mode kMode>
void HeapGraph::drain() {
  while (queue_begin_ != queue_end_) {
    uint32_t at = queue_[queue_begin_++];
    const Block& block = blocks_[at];
    bool is_handle = block.flags & kBlockHandle;
    if (is_handle && !block.offset) continue;
    bool keeps = kMode != Mode::lost && kMode != Mode::leaders && pointers_.is_kept && pointers_.is_complete;
    if (keeps) first_[at] = static_cast<uint32_t>(pointers_.count);
    auto scan_words = [&](const uintptr_t* words, size_t count) {
      auto address = reinterpret_cast<uintptr_t>(words);
      scan<kMode>(words, count, {nullptr, nodes_[at], block.flags, address});
      if (looks_for_hidden_) find_hidden(reinterpret_cast<const std::byte*>(words), count * kWord);
    };
    if (is_handle) {
      scan_words(reinterpret_cast<const uintptr_t*>(block.start + block.offset), 1);
    } else {
      prefetch_block(block.start, block.bytes);
      each_part(block, scan_words);
    }
    if (keeps) last_[at] = static_cast<uint32_t>(pointers_.count);
  }
  queue_begin_ = queue_end_ = 0;
}

/// Pointers past a header of the same size into many blocks of a call site are how its owner knows them. True: some
/// were accepted.
bool HeapGraph::accept_headers() {
  struct Header {
    uint32_t blocks;
    uint16_t bytes;
    bool is_mixed;
  };
  constexpr uint32_t kMany = 16;
  constexpr uint16_t kMostBytes = 64;
  uint32_t sites = 0;
  for (size_t at = 0; at < seed_count_; ++at) sites = std::max(sites, blocks_[seeds_[at]].site + 1);
  Scratch memory;
  auto* headers = sites ? memory.reserve_array<Header>(sites) : nullptr;
  if (!headers) return false;
  for (size_t at = 0; at < seed_count_; ++at) {
    const Block& block = blocks_[seeds_[at]];
    if (block.grade != Grade::unreached) continue;
    Header& header = headers[block.site];
    header.is_mixed = header.is_mixed || (header.blocks && header.bytes != block.offset);
    header.bytes = block.offset;
    ++header.blocks;
  }
  for (size_t at = 0; at < seed_count_; ++at) {
    Block& block = blocks_[seeds_[at]];
    const Header& header = headers[block.site];
    bool is_header = header.blocks >= kMany && !header.is_mixed && header.bytes <= kMostBytes;
    if (block.grade != Grade::unreached || !is_header || block.flags & kBlockUncounted) continue;
    block.grade = Grade::reachable;
    was_reached(block);
    push(seeds_[at]);
  }
  return queue_end_;
}

void HeapGraph::reach() {
  do follow();
  while (accept_headers());
  for (size_t at = 0; at < seed_count_; ++at) {
    Block& block = blocks_[seeds_[at]];
    if (block.grade != Grade::unreached) continue;
    block.grade = Grade::possibly_lost;
    was_reached(block);
    push(seeds_[at]);
    drain<Mode::possibly>();
  }
  seed_count_ = 0;
}

bool HeapGraph::any_unreached() const {
  return std::any_of(blocks_, blocks_ + count_, [](const Block& block) {
    return block.grade == Grade::unreached && (!(block.flags & kBlockUncounted) || block.flags & kBlockStream);
  });
}

void HeapGraph::doubt(Block& block, ledger::RootKind kind) {
  reach_from(block, kind);
  block.grade = Grade::possibly_lost;
}

bool HeapGraph::doubt_rest(ledger::RootKind kind) {
  bool any = false;
  for (Block& block : blocks()) {
    if (block.grade != Grade::unreached || block.flags & kBlockUncounted) continue;
    doubt(block, kind);
    any = true;
  }
  drain<Mode::possibly>();
  return any;
}

void HeapGraph::settle() {
  // Streams and threads that nothing leads to are libc's all the same, and what a stream uses is in use.
  for (uint32_t at = 0; at < count_; ++at) {
    Block& block = blocks_[at];
    if (block.flags & (kBlockStream | kBlockHandle)) reach_from(block, ledger::RootKind::libc);
  }
  reach();
  for (uint32_t at = 0; at < count_; ++at) {
    Block& block = blocks_[at];
    if (block.grade != Grade::unreached || !(block.flags & kBlockUncounted)) continue;
    doubt(block, ledger::RootKind::libc);
  }
  drain<Mode::possibly>();
  count_kept();
  find_cliques();
  find_leaders();
}

/// Before the rest is graded.
void HeapGraph::count_kept() {
  for (uint32_t at = 0; at < count_; ++at)
    if (is_kept(at)) retention_.count(nodes_[at], blocks_[at].bytes);
}

/// In order of address, as Valgrind does it: where lost blocks lead to one another in a circle, the first one met is
/// lost and the others are so indirectly.
void HeapGraph::find_cliques() {
  for (uint32_t at = 0; at < count_; ++at) {
    Block& leader = blocks_[at];
    if (leader.grade != Grade::unreached) continue;
    leader.grade = Grade::indirectly_lost;  // so that pointers to itself are nothing new
    push(at);
    drain<Mode::lost>();
    leader.grade = Grade::lost;
  }
}

/// Only now, as a block that began a clique may have turned out to belong to another.
void HeapGraph::find_leaders() {
  auto is_follower = [](const Block& block) { return block.grade == Grade::indirectly_lost; };
  if (std::none_of(blocks_, blocks_ + count_, is_follower)) return;
  leaders_ = leader_memory_.reserve_array<uint32_t>(count_);
  if (!leaders_) return;
  for (uint32_t at = 0; at < count_; ++at) {
    if (blocks_[at].grade != Grade::lost) continue;
    leader_ = blocks_[at].flags & kBlockUncounted || !blocks_[at].site ? kSeveralLeaders : blocks_[at].site;
    push(at);
    drain<Mode::leaders>();
  }
}

}  // namespace unfreed::grade
