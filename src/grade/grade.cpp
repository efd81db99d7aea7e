#include "grade/grade.h"

#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "base/free_memory.h"
#include "base/syscall.h"
#include "grade/exclusions.h"
#include "grade/heap_ages.h"
#include "grade/heap_graph.h"
#include "grade/kernel_pointers.h"
#include "grade/mapping_lines.h"
#include "grade/memory_map.h"
#include "grade/page_scan.h"
#include "grade/range_list.h"
#include "grade/retained_sizes.h"
#include "grade/retention.h"
#include "grade/root_parts.h"
#include "grade/variables.h"
#include "track/blind_spots.h"
#include "track/heap_index.h"
#include "track/root_regions.h"
#include "track/threads.h"
#include "track/tracker.h"
#include "unwind/loader_list.h"
#include "unwind/objects.h"

namespace unfreed::grade {

using ledger::SectionId;
using track::g_tracker;

namespace {

constexpr size_t kMostBlocks = size_t{1} << 28;
/// Of heaps with more blocks, what each retains is not computed.
constexpr size_t kMostAtEnd = size_t{1} << 13, kMostOnRequest = size_t{1} << 21;
constexpr size_t kFewSymbols = size_t{1} << 14;

class Grader {
 public:
  Grader(const Moment& moment, uint32_t since_epoch, ledger::Writer& out)
      : threads_(moment.threads),
        taken_ns_(moment.taken_ns),
        kept_by_kernel_(moment.kept_by_kernel),
        is_kernel_late_(moment.is_kernel_late && moment.kept_by_kernel && moment.kept_by_kernel->any_epoll()),
        since_epoch_(since_epoch),
        patience_(moment.patience),
        out_(out),
        exclusions_(map_, moment.threads),
        ages_(moment.taken_ns),
        pages_(graph_),
        variables_(moment.patience == Patience::at_end ? kFewSymbols : SIZE_MAX) {}

  const char* run() {
    if (const char* problem = refuse()) return problem;
    if (!map_.read()) return "the kernel's list of mappings cannot be read";
    if (!exclusions_.find_own() || base::is_passing_memory_unknown()) return kNoMemory;
    if (!may_take_memory()) return "too little memory is free";
    if (!prepare()) return kNoMemory;
    graph_.read_in_parts([](void* self, uintptr_t from, uintptr_t to,
                            Range& out) { return static_cast<Grader*>(self)->find_readable(from, to, out); },
                         this);
    if (!(g_tracker.writer.header().flags.load() & ledger::kHeaderFlagForeignMalloc)) graph_.count_ends();
    if (!collect_blocks()) return "there are too many heap blocks";
    keep_pointers();
    if (!graph_.index(constants_.all())) return kNoMemory;
    // Without blocks nothing can be lost, whatever lies in the program's memory.
    const char* problem = graph_.blocks().empty() ? nullptr : look_for_pointers();
    if (problem) return problem;
    note_doubt();
    mark_lost_streams();
    mark_lost_threads();
    graph_.settle();
    ages_.write(out_);
    return write() ? nullptr : "the ledger has no room for it";
  }

 private:
  const char* look_for_pointers() {
    mark_streams();
    if (!exclusions_.collect(graph_, libc_)) return "there are too many mappings";
    if (!scan_roots()) return kNoPages;
    if (!is_kernel_known_) return "the kernel does not say what the process has given to epoll_ctl() or timer_create()";
    graph_.reach();
    return graph_.any_unreached() && !scan_for_hidden() ? kNoPages : nullptr;
  }

  static constexpr const char* kNoMemory = "there is no memory for it";
  static constexpr const char* kNoPages = "the kernel does not say which memory is in use, or does not let it be read";

  static const char* refuse() {
    if (g_tracker.heap_use == track::HeapUse::none) return "the heap is not tracked";
    if (g_tracker.heap_use == track::HeapUse::sampled) return "the heap is sampled";
    const ledger::Header& header = g_tracker.writer.header();
    auto coverage = static_cast<ledger::Coverage>(header.coverage[static_cast<size_t>(ledger::Kind::heap)]);
    if (coverage == ledger::Coverage::unavailable) return "the heap cannot be tracked";
    if (track::has_bypassing_library())
      return "a library's calls bypass unfreed (RTLD_DEEPBIND, dlmopen), and what it allocates may lead to blocks";
    if (header.dropped[static_cast<size_t>(ledger::Dropped::heap_index_full)].load(std::memory_order_relaxed))
      return "heap blocks are missing from the index";
    if (!track::g_heap_index.is_in_order()) return "address space is limited";
    return nullptr;
  }

  /// What is kept of each block, and of each 16 bytes that blocks lie in, takes about a quarter of a heap of small
  /// ones. Nobody is to be killed for that.
  bool may_take_memory() const {
    constexpr uint64_t kLittle = 64 << 20, kBytesPerBlock = sizeof(Block) + 3 * sizeof(uint32_t), kPart = 2;
    constexpr uint64_t kBytesPerByteOfIndex = 16, kMostOfIndex = 256;  // of a block that has a page to itself
    uint64_t mapped = 0, blocks = 0;
    for (const Mapping& mapping : map_.all())
      if (exclusions_.may_be_heap(mapping)) mapped += mapping.high - mapping.low;
    if (mapped <= kLittle) return true;
    for (const Mapping& mapping : map_.all())
      if (exclusions_.may_be_heap(mapping))
        track::g_heap_index.each_in(mapping.low, mapping.high, [&](uintptr_t, const track::Block&) { ++blocks; });
    uint64_t needed = blocks * kBytesPerBlock + std::min(mapped / kBytesPerByteOfIndex, blocks * kMostOfIndex);
    return needed <= kLittle || needed <= base::free_memory() / kPart;
  }

  bool prepare() {
    libc_ = image_around(reinterpret_cast<uintptr_t>(&getpagesize));
    loader_ = image_around(reinterpret_cast<uintptr_t>(&unwind::loader_list()));
    size_t most_bytes = 0;
    for (const Mapping& mapping : map_.all())
      if (exclusions_.may_be_heap(mapping)) most_bytes += mapping.high - mapping.low;
    size_t most = std::min(most_bytes / track::g_heap_index.grain_bytes(), kMostBlocks) + kMostHandles;
    if (!graph_.prepare(most) || !pages_.prepare() || !exclusions_.prepare(most)) return false;
    if (!constants_.prepare(map_.all().size())) return false;
    for (const Mapping& mapping : map_.all())
      if (mapping.use == MappingUse::file && mapping.readable && !mapping.writable)
        constants_.add(mapping.low, mapping.high);
    constants_.sort();
    return true;
  }

  /// For what each retains, unless that takes too much.
  void keep_pointers() {
    constexpr size_t kPointersOfBlock = 8, kMorePointers = 1 << 16, kBytesOfBlock = 96, kBytesOfPointer = 24;
    constexpr uint64_t kLittle = 32 << 20, kPart = 4;
    size_t blocks = graph_.blocks().size(), pointers = kPointersOfBlock * blocks + kMorePointers;
    uint64_t needed = blocks * kBytesOfBlock + pointers * kBytesOfPointer;
    bool is_too_much = blocks > (patience_ == Patience::at_end ? kMostAtEnd : kMostOnRequest) ||
                       (needed > kLittle && needed > base::free_memory() / kPart);
    graph_.keep_pointers(is_too_much ? 0 : pointers);
    if (is_too_much) return;
    graph_.name_variables(
        [](void* variables, uintptr_t word) { return static_cast<Variables*>(variables)->start_of(word); },
        &variables_);
  }

  // ---- what there is ----

  bool collect_blocks() {
    collect_handles();
    for (const Mapping& mapping : map_.all()) {
      if (!exclusions_.may_be_heap(mapping) && !is_guard(mapping)) continue;
      auto add = [&](uintptr_t address, const track::Block& block) {
        add_handles_before(address);
        Block one = described(address, block, mapping);
        if (!(one.flags & kBlockUncounted)) ages_.add(block.site, block.epoch, block.size_bytes);
        is_whole_ = graph_.add(one) && is_whole_;
      };
      track::g_heap_index.each_in(mapping.low, mapping.high, add);
    }
    add_handles_before(UINTPTR_MAX);
    return is_whole_;
  }

  /// A part of a block that the program has made unreadable: below a stack, or around a buffer.
  static bool is_guard(const Mapping& mapping) {
    constexpr uintptr_t kMost = 64 * 1024;  // more is address space that is only reserved
    bool is_private_memory = mapping.use == MappingUse::anonymous || mapping.use == MappingUse::heap;
    return is_private_memory && !mapping.readable && !mapping.shared && mapping.high - mapping.low <= kMost;
  }
  Block described(uintptr_t address, const track::Block& block, const Mapping& mapping) {
    Block out{address, block.size_bytes, block.site, Grade::unreached, 0, 0};
    if (block.ignored) out.flags |= kBlockUncounted;
    if (block.in_use) out.flags |= kBlockInUse;
    if (block.epoch >= since_epoch_ && !block.ignored) out.flags |= kBlockRecent;
    out.flags |= flags_of_site(block.site);
    uintptr_t end = address + block.size_bytes;
    if (!mapping.readable || (end > mapping.high && !is_readable_to(mapping, end))) out.flags |= kBlockUnreadable;
    return out;
  }
  /// Neighbours mostly have the same site.
  uint8_t flags_of_site(uint32_t number) {
    if (number == last_site_) return last_flags_;
    auto* site = g_tracker.writer.known<ledger::Site>(SectionId::sites, number);
    last_site_ = number;
    last_flags_ = site && site->flags & ledger::kSiteLibc ? kBlockUncounted | kBlockLibc : 0;
    return last_flags_;
  }
  /// Do mappings that can be read follow one another up to there?
  bool is_readable_to(const Mapping& first, uintptr_t end) const {
    for (const Mapping* mapping = &first; mapping->high < end;) {
      const Mapping* next = map_.find(mapping->high);
      if (!next || !next->readable) return false;
      mapping = next;
    }
    return true;
  }

  bool find_readable(uintptr_t from, uintptr_t to, Range& out) const {
    for (const Mapping* mapping = map_.find(from); mapping && from < to; mapping = map_.find(from = mapping->high)) {
      if (!mapping->readable) continue;
      out = {from, std::min(to, mapping->high)};
      return true;
    }
    return false;
  }

  /// Threads that have ended and were not joined: they are lost, or pthread_join() still returns their results.
  void collect_handles() {
    uint64_t count = g_tracker.writer.section(SectionId::threads).count.load(std::memory_order_acquire);
    for (uint64_t at = 0; at < count && handle_count_ < kMostHandles; ++at) {
      auto* record = out_.known<ledger::ThreadRecord>(SectionId::threads, at);
      if (!record || record->state.load() != static_cast<uint32_t>(ledger::ThreadState::finished)) continue;
      if (record->flags.load() & ledger::kThreadDetached) continue;
      if (record->finished_ns > taken_ns_) continue;  // the memory knows nothing of it
      uint64_t handle = record->handle.load(std::memory_order_acquire);
      if (handle && !(handle & 1)) handles_[handle_count_++] = {handle, record, record->serial};
    }
    std::sort(handles_, handles_ + handle_count_, [](const Handle& a, const Handle& b) { return a.value < b.value; });
  }
  void add_handles_before(uintptr_t address) {
    for (; handles_added_ < handle_count_ && handles_[handles_added_].value < address; ++handles_added_) {
      uint64_t handle = handles_[handles_added_].value;
      constexpr uint8_t kFlags = kBlockHandle | kBlockUncounted | kBlockUnreadable;
      graph_.add({handle, 1, 0, Grade::unreached, kFlags, result_offset(handle)});
    }
  }
  uint16_t result_offset(uint64_t handle) const {
    const Mapping* mapping = map_.find(handle);
    if (!mapping || !mapping->readable) return 0;
    return static_cast<uint16_t>(track::thread_result_offset(handle, std::min(mapping->high - handle, kThreadBytes)));
  }

  template <class Visit>
  void each_stream(Visit visit) {
    uint64_t count = out_.section(SectionId::fds).count.load(std::memory_order_acquire);
    for (uint64_t fd = 0; fd < count; ++fd) {
      auto* record = out_.known<ledger::FdRecord>(SectionId::fds, fd);
      uint64_t word = record ? record->word.load(std::memory_order_acquire) : 0;
      auto kind = record ? static_cast<ledger::FdOwner>(record->owner_kind) : ledger::FdOwner::none;
      if (!word || kind == ledger::FdOwner::none || kind == ledger::FdOwner::message_queue) continue;
      if (Block* block = graph_.find(record->owner)) visit(*record, word, *block);
    }
  }
  void mark_streams() {
    each_stream([](ledger::FdRecord&, uint64_t, Block& block) { block.flags |= kBlockStream | kBlockUncounted; });
  }
  void mark_lost_streams() {
    each_stream([](ledger::FdRecord& record, uint64_t word, Block& block) {
      bool is_lost = block.grade == Grade::unreached;
      record.lost_serial.store(is_lost ? ledger::fd_serial(word) : 0, std::memory_order_relaxed);
    });
  }
  void mark_lost_threads() {
    for (size_t at = 0; at < handle_count_; ++at) {
      Block* block = graph_.find(handles_[at].value);
      if (!block || !(block->flags & kBlockHandle)) continue;
      if (handles_[at].record->serial != handles_[at].serial) continue;  // it is another thread's by now
      if (block->grade == Grade::unreached && !(handles_[at].record->flags.load() & ledger::kThreadIgnored))
        handles_[at].record->flags.fetch_or(ledger::kThreadLost, std::memory_order_relaxed);
      else
        handles_[at].record->flags.fetch_and(~ledger::kThreadLost, std::memory_order_relaxed);
    }
  }

  // ---- what is one ----

  /// Paths from variables win against those from stacks, where there may be stale pointers.
  bool scan_roots() {
    using ledger::RootKind;
    if (!parts_.collect(map_, threads_, libc_, loader_)) return false;
    bool is_whole = true;
    for (RootKind kind :
         {RootKind::variable, RootKind::thread_variable, RootKind::thread_key, RootKind::libc, RootKind::stack,
          RootKind::registers, RootKind::region, RootKind::request, RootKind::memory, RootKind::epoll}) {
      if (kind == RootKind::epoll)
        is_kernel_known_ = scan_kernel_data();
      else if (kind == RootKind::request)
        use_requested();
      else
        is_whole = scan_roots_of(kind) && is_whole;
      graph_.follow();
    }
    return is_whole;
  }
  bool scan_for_hidden() {
    using ledger::RootKind;
    is_for_hidden_ = true;
    bool is_whole = true;
    for (RootKind kind : {RootKind::variable, RootKind::thread_variable, RootKind::thread_key, RootKind::stack,
                          RootKind::registers, RootKind::region, RootKind::memory})
      is_whole = scan_roots_of(kind) && is_whole;
    graph_.reach_hidden();
    return is_whole;
  }
  bool scan_roots_of(ledger::RootKind kind) {
    if (kind == ledger::RootKind::registers)
      scan_registers();
    else if (kind == ledger::RootKind::region)
      track::each_root_region([this](track::RootRegion region) { scan_region(region); });
    else
      return scan_mappings(kind);
    return true;
  }
  /// As it is to be looked at.
  RootPart of(RootPart part) const {
    if (is_for_hidden_) part.rule = RootRule::hidden;
    return part;
  }

  /// May the program have written to it, though it may have made it read-only since, or no memory at all to look at?
  bool may_hold_pointers(const Mapping& mapping) const {
    if (mapping.use == MappingUse::device || mapping.use == MappingUse::kernel) return false;
    bool is_private_memory = mapping.use == MappingUse::anonymous && !mapping.shared;
    if (mapping.writable || is_private_memory) return true;
    if (mapping.executable || (!mapping.readable && mapping.use == MappingUse::secret)) return false;
    return mapping.shared ? mapping.is_memory_file : pages_.knows_written() && !was_read_only(mapping);
  }
  /// Has the loader left it so, before there were blocks?
  static bool was_read_only(const Mapping& mapping) {
    unwind::Object object;
    unwind::Segment segment;
    return unwind::find_object(mapping.low, object) && unwind::find_segment(object, mapping.low, segment) &&
           !(segment.protection & PROT_WRITE);
  }
  bool scan_mappings(ledger::RootKind kind) {
    bool is_whole = true;
    if (kind == ledger::RootKind::thread_variable) scan_thread_blocks();
    for (const Mapping& mapping : map_.all()) {
      if (!may_hold_pointers(mapping)) continue;
      exclusions_.each_gap({mapping.low, mapping.high}, [&](uintptr_t low, uintptr_t high) {
        parts_.each(mapping, {low, high}, kind, [&](uintptr_t from, uintptr_t to, const RootPart& part) {
          is_whole = pages_.scan(mapping, from, to, of(part)) && is_whole;
        });
      });
    }
    // The program's, though they may lie in libc.
    RootPart streams;
    streams.root.kind = ledger::RootKind::libc;
    if (kind == ledger::RootKind::libc)
      for (FILE* stream : {stdin, stdout, stderr}) graph_.scan_word(reinterpret_cast<uintptr_t>(stream), streams);
    return is_whole;
  }

  /// As roots, so that paths begin at the variable: before those from the thread's own memory are followed, which lead
  /// there, too. For libc they are blocks of the heap, which need not be looked at
  /// again then.
  void scan_thread_blocks() {
    for (const auto& [range, part] : parts_.thread_blocks()) {
      Block* block = graph_.find_around(range.low);
      bool is_libcs = block && block->flags & kBlockUncounted && range.high <= block->start + block->bytes;
      if (!is_libcs) continue;
      graph_.scan_root(reinterpret_cast<const uintptr_t*>(range.low), (range.high - range.low) / sizeof(uintptr_t),
                       of(part), range.low);
      block->flags |= kBlockUnreadable;
    }
  }

  void scan_registers() {
    for (const ThreadAtRest& thread : threads_) {
      RootPart part;
      part.root = {ledger::RootKind::registers, thread.tid, 0};
      graph_.scan_root(reinterpret_cast<const uintptr_t*>(thread.registers_low),
                       (thread.registers_high - thread.registers_low) / sizeof(uintptr_t), of(part),
                       thread.registers_low);
    }
  }
  /// Where there are blocks that nothing else leads to.
  bool scan_kernel_data() {
    std::span<Block> blocks = graph_.blocks();
    auto is_unknown = [](const Block& block) { return block.grade == Grade::unreached; };
    if (std::none_of(blocks.begin(), blocks.end(), is_unknown)) return true;
    if (!kept_by_kernel_) {
      collected_.collect_timers();
      collected_.collect();
      kept_by_kernel_ = &collected_;
    }
    scan_kernel_data(kept_by_kernel_->epoll_data(), ledger::RootKind::epoll);
    scan_kernel_data(kept_by_kernel_->timer_data(), ledger::RootKind::timer);
    return kept_by_kernel_->is_whole();
  }
  void scan_kernel_data(const KernelData& data, ledger::RootKind kind) {
    RootPart part;
    part.root.kind = kind;
    data.each([&](uint64_t word) { graph_.scan_word(word, part); });
  }
  /// A connection that was closed meanwhile is in the memory, but no longer with the kernel.
  void note_doubt() {
    out_.header().flags.fetch_and(~(ledger::kHeaderFlagGradedInDoubt | ledger::kHeaderFlagGradedInFlight),
                                  std::memory_order_relaxed);
    if (is_kernel_late_) doubt_rest(ledger::RootKind::epoll, ledger::kHeaderFlagGradedInDoubt);
    bool is_in_flight = (kept_by_kernel_ && kept_by_kernel_->any_in_flight()) ||
                        std::any_of(map_.all().begin(), map_.all().end(),
                                    [](const Mapping& mapping) { return mapping.use == MappingUse::aio; });
    if (is_in_flight) doubt_rest(ledger::RootKind::kernel, ledger::kHeaderFlagGradedInFlight);
  }
  void doubt_rest(ledger::RootKind kind, uint32_t flag) {
    if (graph_.doubt_rest(kind)) out_.header().flags.fetch_or(flag, std::memory_order_relaxed);
  }
  void use_requested() {
    for (Block& block : graph_.blocks())
      if (block.flags & kBlockInUse) graph_.use(block);
  }

  /// Memory that the program has named. It may be gone by now.
  void scan_region(track::RootRegion region) {
    RootPart part;
    part.root = {ledger::RootKind::region, 0, region.low};
    for (uintptr_t at = region.low; at < region.high;) {
      const Mapping* mapping = map_.find(at);
      if (!mapping || !mapping->readable) return;
      uintptr_t end = std::min(region.high, mapping->high);
      pages_.scan(*mapping, at, end, of(part));
      at = end;
    }
  }

  // ---- what came out ----

  /// What each retains may take as long as all before it, at most a second: the verdicts are not to be late for it.
  uint64_t end_of_sizes() const {
    constexpr uint64_t kLeastNs = 50'000'000, kMostNs = 1'000'000'000;
    uint64_t now = base::monotonic_ns();
    return now + std::clamp(now - began_ns_, kLeastNs, kMostNs);
  }

  bool write() {
    ledger::Section& table = out_.section(SectionId::grades);
    table.count.store(0, std::memory_order_relaxed);
    uint64_t sites = std::min(g_tracker.writer.section(SectionId::sites).count.load(),
                              g_tracker.writer.section(SectionId::sites).capacity);
    Scratch memory;
    auto* record_of_site = memory.reserve_array<uint32_t>(sites + 1);  // number + 1
    if (!record_of_site) return false;
    std::span<const Block> blocks = graph_.blocks();
    for (size_t at = 0; at < blocks.size(); ++at) {
      const Block& block = blocks[at];
      if (block.grade == Grade::reachable || block.flags & kBlockUncounted || block.site >= sites) continue;
      uint32_t& number = record_of_site[block.site];
      if (!number) {
        uint64_t index;
        auto* record = out_.append<ledger::SiteGrades>(SectionId::grades, index);
        if (!record) return false;
        *record = {};
        record->site = block.site;
        number = static_cast<uint32_t>(index) + 1;
      }
      auto& grades = *out_.at<ledger::SiteGrades>(SectionId::grades, number - 1);
      ledger::BlocksAndBytes& sum = block.grade == Grade::lost              ? grades.lost
                                    : block.grade == Grade::indirectly_lost ? grades.indirectly_lost
                                                                            : grades.possibly_lost;
      if (block.grade == Grade::indirectly_lost) {
        uint32_t leader = graph_.leader_of(at);
        grades.leader = sum.blocks == 0 || grades.leader == leader ? leader : 0;
      }
      ++sum.blocks;
      sum.bytes += block.bytes;
      if (block.grade != Grade::lost || !(block.flags & kBlockRecent)) continue;
      ++lost_since_;
      ++grades.lost_since.blocks;
      grades.lost_since.bytes += block.bytes;
    }
    out_.header().lost_since = lost_since_;
    out_.header().retained_sizes = static_cast<uint32_t>(compute_retained_sizes(graph_, end_of_sizes()));
    write_retention(graph_, map_, out_);
    return true;
  }

  struct Handle {
    uint64_t value;
    ledger::ThreadRecord* record;
    uint32_t serial;
  };
  static constexpr size_t kMostHandles = 4096;

  std::span<const ThreadAtRest> threads_;
  uint64_t began_ns_ = base::monotonic_ns();
  uint64_t taken_ns_;
  const KernelPointers* kept_by_kernel_;
  bool is_kernel_late_;
  KernelPointers collected_;
  uint32_t since_epoch_;
  Patience patience_;
  uint64_t lost_since_ = 0;
  uint32_t last_site_ = UINT32_MAX;
  uint8_t last_flags_ = 0;
  ledger::Writer& out_;
  bool is_kernel_known_ = false, is_for_hidden_ = false;
  MemoryMap map_;
  Exclusions exclusions_;
  HeapAges ages_;
  HeapGraph graph_;
  PageScan pages_;
  RootParts parts_;
  Variables variables_;
  RangeList constants_;
  Range libc_{}, loader_{};
  Handle handles_[kMostHandles];
  size_t handle_count_ = 0, handles_added_ = 0;
  bool is_whole_ = true;
};

}  // namespace

const char* grade(const Moment& moment, uint32_t since_epoch, ledger::Writer& out) {
  Scratch memory;  // not on the stack, which may be a signal handler's small one
  void* place = memory.reserve(sizeof(Grader));
  if (!place) return "there is no memory for it";
  auto* grader = new (place) Grader(moment, since_epoch, out);
  const char* problem = grader->run();
  grader->~Grader();
  return problem;
}

}  // namespace unfreed::grade
