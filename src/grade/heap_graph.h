// The heap as a graph: which blocks can the program still get at? Pure computation on memory that stands still; who
// finds the blocks and the roots is beside it (grade.cpp).
//
//     add() in order of address ─▶ index() ─▶ scan_root() for each root ─▶ settle() ─▶ grade of each block
//
// The grades are Valgrind's (memcheck manual, "Memory leak detection"):
//
//   reachable        a chain of pointers to the starts of blocks leads to it from a root
//   possibly lost    only a chain in which some pointer leads into the middle of a block, or to its very end (an empty
//                    one of an allocator that puts a header in front: talloc)
//   lost             no pointer leads to it, or only such as lie in blocks that it leads to itself
//   indirectly lost  only pointers in lost blocks lead to it
//
// What else counts as a pointer to a block's start: one with tags in its lowest three or highest seventeen bits; into
// the characters of an old std::string, past the cookie of an array with destructors or the size in front of a block,
// to a base class's part of an object (its table of virtual functions says how far it is from the start); and past a
// header, where many blocks of one call site are all known by pointers at the same short distance from their start.
//
// Allocates its own memory, for its life; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "arch/address.h"
#include "grade/block.h"
#include "grade/block_index.h"
#include "grade/retention_tree.h"
#include "grade/scratch.h"

namespace unfreed::grade {

/// What is special about a root.
enum class RootRule : uint8_t {
  plain,
  libc_data,   ///< libc's own variables: its list of streams does not count
  libc_lists,  ///< the loader's and libc's lists of threads: no pthread_t counts
  hidden,      ///< see HeapGraph::reach_hidden(): only what scan_root() does not take for a pointer otherwise
};

/// What words of memory are.
struct RootPart {
  RootRule rule = RootRule::plain;
  Root root{};
  /// Each word is a root of its own: its place is its address less this. False: they are one root.
  bool is_by_word = false;
  uintptr_t base = 0;
};

/// How much of a word is an address; what is above may be tags.
inline constexpr uintptr_t kAddressMask = (uintptr_t{1} << arch::kAddressBits) - 1;

class HeapGraph {
 public:
  /// Room for so many blocks. False: no memory.
  bool prepare(size_t most_blocks);

  /// Every pointer is to be kept, not only the first to each block; if there are more than `most`, none is (0: from the
  /// start).
  void keep_pointers(size_t most);
  struct Pointers {
    struct OfRoot {
      uint32_t root;  ///< node of retention(); 0: there was no room for it
      uint32_t block;
    };
    bool is_kept = false;
    bool is_complete = true;
    const uint32_t* first = nullptr;  ///< by block: its own are to[first] … to[last - 1], numbers of blocks
    const uint32_t* last = nullptr;
    const uint32_t* to = nullptr;
    size_t count = 0;
    const OfRoot* roots = nullptr;
    size_t root_count = 0;
  };
  const Pointers& pointers() const { return pointers_; }

  /// Where the variable begins that a word is part of: all its words are one root then.
  using FindVariable = uintptr_t (*)(void* context, uintptr_t word);
  void name_variables(FindVariable find, void* context) {
    find_variable_ = find;
    variable_context_ = context;
  }

  /// Pointers to the very end of a block count, too, except on stacks and in registers, where loops leave them. (Not
  /// for allocators that put nothing between their blocks.)
  void count_ends() { counts_ends_ = true; }

  /// Finds the first memory in [from, to) that can be read, for blocks of which not all can. False: there is none.
  using FindReadable = bool (*)(void* context, uintptr_t from, uintptr_t to, Range& out);
  void read_in_parts(FindReadable find, void* context) {
    find_readable_ = find;
    readable_context_ = context;
  }

  /// A live block; addresses ascend. False: no room.
  bool add(const Block& block) {
    if (count_ == most_) return false;
    Block& added = blocks_[count_++];
    // One by one: a copy reads at once what has just been written in parts, and waits for it.
    added.start = block.start;
    added.bytes = block.bytes;
    added.site = block.site;
    added.grade = block.grade;
    added.flags = block.flags;
    added.offset = block.offset;
    return true;
  }
  /// All have been added. `constants`: read-only memory of loaded objects, in order of address, where tables of virtual
  /// functions are. False: no memory.
  bool index(std::span<const Range> constants);

  /// Words of a root, or of a copy of them; `address`: where they are.
  void scan_root(const uintptr_t* words, size_t count, const RootPart& part, uintptr_t address);
  /// Code that the program has made: pointers are operands of instructions, at any address.
  void scan_code(std::span<const std::byte> code, const RootPart& part);
  /// One pointer more, that lies nowhere.
  void scan_word(uintptr_t word, const RootPart& part) { scan_root(&word, 1, part, 0); }
  /// Reaches what the roots that have been scanned lead to. Paths from them win against those from roots to come.
  void follow();

  /// A block is in use, whatever leads to it.
  void use(Block& block) { reach_from(block, ledger::RootKind::request); }

  /// All that is reached by start pointers, then by any; streams and threads that nothing leads to are still
  /// `unreached` after it. Call it before settle().
  void reach();
  /// Is there a block of the program's that nothing leads to?
  bool any_unreached() const;
  /// Looks in all that is reached, after scan_root() has with RootRule::hidden, for pointers in unusual form: at any
  /// address, as in packed structures, or with tags and into the middle of a block. What they lead to is possibly lost.
  /// Call it between reach() and settle().
  void reach_hidden();
  /// What is still unreached may be led to by a root of this kind that was not seen, and is possibly lost: also what
  /// only such blocks lead to. False: there is nothing. Call it between reach() and settle().
  bool doubt_rest(ledger::RootKind kind);
  /// Grades the rest. Every block has a grade after it.
  void settle();

  std::span<Block> blocks() { return {blocks_, count_}; }
  /// Who keeps the blocks that are reachable or possibly lost. Complete after settle().
  RetentionTree& retention() { return retention_; }
  /// The node that a block belongs to; 0: none.
  uint32_t node_of(size_t block) const { return nodes_[block]; }
  /// What a block counts for among what is kept alive.
  uint64_t kept_bytes(size_t block) const { return is_kept(block) ? blocks_[block].bytes : 0; }
  /// The table of virtual functions that the block's first word leads to; 0: it does not look like one.
  uintptr_t virtual_table_of(uintptr_t block);
  /// Of an indirectly lost block: the call site whose lost blocks alone lead to it. 0: those of several, or it is not
  /// known.
  uint32_t leader_of(size_t block) const {
    return leaders_ && leaders_[block] != kSeveralLeaders ? leaders_[block] : 0;
  }
  /// The block that contains `address`; nullptr: none does.
  Block* find_around(uintptr_t address);
  /// The block that starts at `address`; nullptr: none does.
  Block* find(uintptr_t address);

 private:
  enum class Mode : uint8_t { root, reachable, possibly, lost, leaders };
  static constexpr uint32_t kSeveralLeaders = UINT32_MAX;

  /// The block that the address lies in, or at most so far `beyond`; or count_.
  uint32_t block_at(uintptr_t address, size_t page, uintptr_t beyond = 0) const;
  bool is_start(const Block& block, uintptr_t address) const;
  bool is_virtual_table(uintptr_t address) const;
  /// The words of a root, or of a block.
  struct Holder {
    const RootPart* part;  ///< nullptr: it is a block
    uint32_t node;         ///< of a block
    uint8_t flags;         ///< of a block
    uintptr_t address;     ///< of the words
  };
  template <Mode kMode>
  void scan(const uintptr_t* words, size_t count, const Holder& holder);
  template <class Visit>
  void each_part(const Block& block, Visit visit) const;
  template <Mode kMode>
  void drain();
  void push(uint32_t block) {
    __builtin_prefetch(reinterpret_cast<const void*>(blocks_[block].start));
    queue_[queue_end_++] = block;
  }
  /// Every pointer counts where they are kept.
  void was_reached(const Block& block, uintptr_t address, size_t page) {
    if (!pointers_.is_kept) index_.was_reached(block, address, page);
  }
  void was_reached(const Block& block) { was_reached(block, block.start, index_.page_of(block.start)); }
  uint32_t holder_node(const Holder& holder, uintptr_t word_address);
  bool is_kept(size_t block) const {
    const Block& one = blocks_[block];
    return (one.grade == Grade::reachable || one.grade == Grade::possibly_lost) && !(one.flags & kBlockUncounted) &&
           nodes_[block];
  }
  void keep_pointer(const Holder& holder, uintptr_t word_address, uint32_t block);
  void keep_root(uint32_t root, uint32_t block);
  void reach_from(Block& block, ledger::RootKind kind);
  void doubt(Block& block, ledger::RootKind kind);
  void find_hidden(const std::byte* memory, size_t bytes);
  void try_hidden(const std::byte* place);
  void count_kept();
  void find_cliques();
  void find_leaders();
  bool accept_headers();

  Block* blocks_ = nullptr;
  size_t count_ = 0;
  size_t most_ = 0;
  Scratch block_memory_, queue_memory_, seed_memory_, node_memory_;
  RetentionTree retention_;
  uint32_t* nodes_ = nullptr;  ///< of retention_, by block

  Scratch leader_memory_;
  uint32_t* leaders_ =
      nullptr;           ///< by block: of the indirectly lost, call sites; nullptr: there are none, or no memory
  uint32_t leader_ = 0;  ///< in Mode::leaders: the one whose blocks are looked at

  Pointers pointers_;
  Scratch pointer_memory_, first_memory_, last_memory_, root_memory_;
  uint32_t* to_ = nullptr;  ///< what pointers_ refers to
  uint32_t* first_ = nullptr;
  uint32_t* last_ = nullptr;
  Pointers::OfRoot* roots_ = nullptr;
  size_t most_pointers_ = 0;
  FindVariable find_variable_ = nullptr;
  void* variable_context_ = nullptr;
  FindReadable find_readable_ = nullptr;
  void* readable_context_ = nullptr;
  uintptr_t last_word_ = 0;  ///< whose variable was found last
  uintptr_t last_variable_ = 0;

  bool looks_for_hidden_ = false;
  bool counts_ends_ = false;
  uint32_t* queue_ = nullptr;  ///< of blocks to be scanned: first in, first out, each at most once in a mode
  size_t queue_begin_ = 0, queue_end_ = 0;
  uint32_t* seeds_ = nullptr;
  size_t seed_count_ = 0;

  BlockIndex index_;
  uintptr_t lowest_ = 0, span_ = 0;
  std::span<const Range> constants_;
};

/// Calls `visit(words, count)` for what can be read of a block.
template <class Visit>
void HeapGraph::each_part(const Block& block, Visit visit) const {
  constexpr uintptr_t kWord = sizeof(uintptr_t);
  uintptr_t end = block.start + block.bytes;
  if (!(block.flags & kBlockUnreadable))
    return visit(reinterpret_cast<const uintptr_t*>(block.start), block.bytes / kWord);
  if (block.flags & kBlockUncounted || !find_readable_) return;
  Range part{};
  for (uintptr_t at = block.start; find_readable_(readable_context_, at, end, part); at = part.high)
    if (uintptr_t from = (part.low + kWord - 1) & ~(kWord - 1); from < part.high)
      visit(reinterpret_cast<const uintptr_t*>(from), (part.high - from) / kWord);
}

}  // namespace unfreed::grade
