#include "ledger/library_part.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/passing_memory.h"
#include "base/text.h"

namespace unfreed::ledger {

namespace {

constexpr auto kThread = static_cast<uint8_t>(Kind::thread);
constexpr uint8_t kNoKind = UINT8_MAX;

/// The tables that others refer to are put behind those that are there, in one piece: all references into one of them
/// grow by the same number. (Record 0 stands for "none", and stays.)
class Joining {
 public:
  Joining(Copy& to, const View& library) : to_(to.writer()), view_(to.view()), library_(library) {
    text_ = shift(SectionId::strings);
    module_ = shift(SectionId::modules);
    node_ = shift(SectionId::nodes);
    site_ = shift(SectionId::sites);
  }

  bool run() {
    base::PassingMemory memory((size_t{library_.site_count()} + 1) * sizeof(Counts));
    if (!memory.start()) return false;
    std::span<Counts> counts(static_cast<Counts*>(memory.start()), library_.site_count());
    // Left odd where they never settle: whoever sums the joined ones up then says so.
    if (!library_.sum_counts(counts)) to_.header().fold_sequence.store(1, std::memory_order_relaxed);
    if (has_all_threads()) drop_threads();
    add_texts();
    add_hooks();
    add_modules();
    add_nodes();
    add_sites(counts);
    add_records();
    add_header();
    return true;
  }

 private:
  bool is_of_tracer(uint8_t kind) const {
    return kind < kKindSlots && (kKindsOfTracer >> kind & 1 || (kind == kThread && !takes_threads_));
  }

  static bool has_lost_threads(const Header& header) {
    auto dropped = [&](Dropped reason) { return header.dropped[static_cast<size_t>(reason)].load() != 0; };
    return dropped(Dropped::threads_full) || dropped(Dropped::storage_full);
  }
  /// The tracer does not know which have been joined. If the hooks have seen as many start, they have seen all: they
  /// see none that the tracer does not. (In a Go program they know only that they may have missed some.)
  bool has_all_threads() const {
    const Header &to = to_.header(), &from = library_.header();
    auto is = [](const Header& header, Coverage coverage) {
      return header.coverage[kThread] == static_cast<uint8_t>(coverage);
    };
    return is(to, Coverage::partial) && (is(from, Coverage::exact) || is(from, Coverage::partial)) &&
           from.kinds_tracked >> kThread & 1 &&
           to.totals[kThread].acquired.load() == from.totals[kThread].acquired.load() && !has_lost_threads(to) &&
           !has_lost_threads(from);
  }
  void drop_threads() {
    takes_threads_ = true;
    to_.section(SectionId::threads).count.store(0, std::memory_order_relaxed);
    for (uint32_t at = 1; at < view_.site_count(); ++at) {
      auto* site = to_.known<Site>(SectionId::sites, at);
      if (site && site->kind == kThread) site->kind = kNoKind;
    }
  }

  uint32_t shift(SectionId id) const {
    const Section& table = to_.section(id);
    uint64_t count = table.count.load(std::memory_order_relaxed);
    return static_cast<uint32_t>(count < table.capacity ? count : table.capacity) - 1;
  }
  StringRef text(StringRef ref) const { return ref && ref < library_.text_bytes() ? ref + text_ : 0; }
  uint32_t node(uint32_t number) const { return number && number < library_.node_count() ? number + node_ : 0; }
  uint32_t site(uint32_t number) const { return number && number < library_.site_count() ? number + site_ : 0; }
  uint32_t module(uint32_t number) const {
    uint32_t known = number & kNodeModuleMask;
    bool is_there = known && known < library_.module_count() && known + module_ <= kNodeModuleMask;
    return (number & ~kNodeModuleMask) | (is_there ? known + module_ : 0);
  }
  uint16_t hook(uint16_t number) const {
    constexpr uint16_t kUnknown = UINT16_MAX;
    return number < hooks_added_ ? static_cast<uint16_t>(number + hooks_) : kUnknown;
  }

  /// The same bytes, in a new record. nullptr: there is no room, or nothing to be read. Records that others refer to
  /// keep their numbers all the same.
  template <class Record>
  Record* append(SectionId id, const Record* from, Dropped full) {
    uint64_t index = 0;
    auto* record = to_.append<Record>(id, index);
    if (!record) to_.drop(full);
    if (!record || !from) return nullptr;
    std::memcpy(static_cast<void*>(record), from, sizeof *record);
    return record;
  }

  /// In one piece, which ends with a NUL whatever is in it.
  void add_texts() {
    uint32_t bytes = library_.text_bytes();
    if (bytes > 1) to_.add_text({library_.text_byte(1), bytes - 1});
  }

  void add_modules() {
    for (uint32_t at = 1; at < library_.module_count(); ++at)
      if (auto* made = append(SectionId::modules, library_.module(at), Dropped::modules_full))
        made->path = text(made->path);
  }

  void add_nodes() {
    for (uint32_t at = 1; at < library_.node_count(); ++at) {
      auto* made = append(SectionId::nodes, library_.node(at), Dropped::nodes_full);
      if (!made) continue;
      made->parent = node(made->parent);
      bool is_source = made->module & kNodeSource;
      if (is_source)
        made->offset = (made->offset & ~uint64_t{UINT32_MAX}) | text(static_cast<StringRef>(made->offset));
      else
        made->module = module(made->module);
    }
  }

  /// With the counts of running threads, which are elsewhere. (Of a sampled heap, counts are kept in smaller units.)
  void add_sites(std::span<const Counts> counts) {
    for (uint32_t at = 1; at < counts.size(); ++at) {
      auto* made = append(SectionId::sites, library_.site(at), Dropped::sites_full);
      if (!made) continue;
      if (is_of_tracer(made->kind)) made->kind = kNoKind;
      bool is_sampled = static_cast<Kind>(made->kind) == Kind::heap && library_.header().sample_bytes;
      unsigned units = is_sampled ? kSampledCountShift : 0;
      made->node = node(made->node);
      made->hook = hook(made->hook);
      made->acquired = counts[at].acquired << units;
      made->released = counts[at].released << units;
      made->acquired_bytes = counts[at].acquired_bytes << units;
      made->released_bytes = counts[at].released_bytes << units;
    }
  }

  /// One list of names: those of the system calls, and behind them those of the hooked functions. (Each takes a text:
  /// "" would take none.)
  void add_hooks() {
    constexpr uint32_t kMost = 4096;
    Header& header = to_.header();
    StringRef first = 0;
    uint32_t count = 0;
    auto add = [&](std::string_view name) {
      StringRef added = to_.add_text(name.empty() ? "?" : name);
      if (!first) first = added;
      if (added) ++count;
    };
    view_.each_text(header.hook_names, std::min(header.hook_count, kMost), add);
    hooks_ = count;
    library_.each_text(library_.header().hook_names, std::min(library_.header().hook_count, kMost), add);
    hooks_added_ = count - hooks_;
    header.hook_names = first;
    header.hook_count = count;
  }

  void add_records() {
    for (uint32_t at = 0; at < library_.handle_count(); ++at) {
      const HandleRecord* record = library_.handle(at);
      uint64_t word = record ? record->word.load(std::memory_order_acquire) : 0;
      if (!word || is_of_tracer(static_cast<uint8_t>(handle_kind(word)))) continue;
      if (auto* made = append(SectionId::handles, record, Dropped::handles_full))
        made->word = handle_word(handle_kind(word), site(handle_site(word)), handle_serial(word));
    }
    for (uint32_t at = 0; at < library_.heap_age_count(); ++at)
      if (auto* made = append(SectionId::heap_ages, library_.heap_age(at), Dropped::storage_full)) {
        made->site = site(made->site);
        made->test = 0;  // tests are told apart by serial numbers, of which the tracer has others
      }
    for (uint32_t at = 0; at < library_.grades_of_site_count(); ++at)
      if (auto* made = append(SectionId::grades, library_.grades_of_site(at), Dropped::storage_full)) {
        made->site = site(made->site);
        made->leader = site(made->leader);
      }
    for (uint32_t at = 0; at < library_.retention_count(); ++at)
      if (auto* made = append(SectionId::retention, library_.retention(at), Dropped::retention_failed)) {
        made->site = site(made->site);
        made->module = module(made->module);
        made->type_module = module(made->type_module);
      }
    for (uint32_t at = 0; at < library_.history_count(); ++at)
      if (auto* made = append(SectionId::histories, library_.history(at), Dropped::storage_full))
        made->site = site(made->site);
    for (uint32_t at = 0; takes_threads_ && at < library_.thread_count(); ++at)
      if (auto* made = append(SectionId::threads, library_.thread(at), Dropped::threads_full)) {
        made->site = site(made->site);
        made->start_module = module(made->start_module);
        made->current_node = node(made->current_node);
      }
    for (uint32_t at = 0; at < library_.failure_count(); ++at) {
      const Failure* record = library_.failure(at);
      if (!record || is_of_tracer(record->kind)) continue;
      auto* made = append(SectionId::failures, record, Dropped::failures_full);
      if (!made) continue;
      made->hook = hook(made->hook);
      made->node = node(made->node);
    }
  }

  void add_header() {
    Header& to = to_.header();
    const Header& from = library_.header();
    auto copy = [](auto& one, const auto& other) { one.store(other.load(std::memory_order_relaxed)); };
    for (uint8_t kind = 0; kind < kKindCount; ++kind) {
      if (is_of_tracer(kind)) continue;
      to.coverage[kind] = from.coverage[kind];
      to.coverage_reason[kind] = text(from.coverage_reason[kind]);
      copy(to.totals[kind].acquired, from.totals[kind].acquired);
      copy(to.totals[kind].live, from.totals[kind].live);
      copy(to.totals[kind].peak, from.totals[kind].peak);
      copy(to.totals[kind].foreign_released, from.totals[kind].foreign_released);
    }
    if (takes_threads_) {
      to.coverage[kThread] = static_cast<uint8_t>(Coverage::exact);
      to.coverage_reason[kThread] = 0;
    }
    for (size_t reason = 0; reason < kDroppedSlots; ++reason)
      to.dropped[reason].fetch_add(from.dropped[reason].load(std::memory_order_relaxed));
    constexpr uint32_t kFlags = kHeaderFlagForeignMalloc | kHeaderFlagGradedInDoubt | kHeaderFlagGradedInFlight;
    to.flags.fetch_or((from.flags.load(std::memory_order_relaxed) & kFlags) | kHeaderFlagJoined);
    to.sample_bytes = from.sample_bytes;
    copy(to.sample_variance_blocks, from.sample_variance_blocks);
    copy(to.sample_variance_bytes, from.sample_variance_bytes);
    copy(to.grading, from.grading);
    copy(to.lost_since, from.lost_since);
    copy(to.retained_sizes, from.retained_sizes);
    copy(to.report_count, from.report_count);
    to.no_grading = text(from.no_grading);
    to.graded_monotonic_ns = from.graded_monotonic_ns;
  }

  Writer& to_;
  const View& view_;
  const View& library_;
  uint32_t text_ = 0, module_ = 0, node_ = 0, site_ = 0;
  uint32_t hooks_ = 0, hooks_added_ = 0;  ///< the tracer's, and the library's
  bool takes_threads_ = false;
};

}  // namespace

bool add_library_part(Copy& to, const View& library) { return Joining(to, library).run(); }

void lose_library_part(Copy& to, std::string_view why) {
  Writer& writer = to.writer();
  Header& header = writer.header();
  base::FixedText<256> reason;
  reason.add("what the library has recorded in it is missing: ").add(why);
  for (uint8_t number = 0; number < kKindCount; ++number) {
    bool is_librarys = !(kKindsOfTracer >> number & 1) && number != kThread;
    if (is_librarys && header.kinds_tracked >> number & 1)
      writer.cover(static_cast<Kind>(number), Coverage::unavailable, reason.text());
  }
  header.flags.fetch_and(~kHeaderFlagJoined, std::memory_order_relaxed);
}

}  // namespace unfreed::ledger
