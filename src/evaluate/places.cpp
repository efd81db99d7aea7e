#include "evaluate/places.h"

#include <algorithm>

#include "base/text.h"
#include "names/demangle.h"

namespace unfreed::report {

namespace {

using base::hash_text;

/// Depends on the order: what is in a stack says nothing without where.
uint64_t combine(uint64_t first, uint64_t second) {
  uint64_t hash = (first * 0x9e3779b97f4a7c15u ^ second) * 0xd6e8feb86659fd93u;
  return hash ^ hash >> 32;
}

PlaceFrame frame_by_line(const ResolvedFrame& resolved) {
  PlaceFrame frame;
  frame.known_by = resolved.is_function_line ? PlaceKnownBy::function : PlaceKnownBy::line;
  uint64_t name = hash_text(resolved.plain_name, hash_text("!", hash_text(base::base_name(resolved.file))));
  // A line above its function's own is one of a macro's, or of another function's.
  bool is_inside = resolved.function_line && resolved.line >= resolved.function_line;
  uint64_t line = is_inside ? uint64_t{1} << 32 | (resolved.line - resolved.function_line) : resolved.line;
  frame.lasting = combine(name, line);
  frame.exact = combine(hash_text(resolved.file), resolved.line);
  return frame;
}

PlaceFrame frame_by_function(std::string_view module, const ResolvedFrame& resolved, CodeOwner owner) {
  PlaceFrame frame;
  frame.known_by = PlaceKnownBy::function;
  uint64_t name = hash_text("!", hash_text(base::base_name(module)));
  std::string_view symbol = resolved.symbol.empty() ? resolved.linkage_name : resolved.symbol;
  // A library's function may be an interpreter's loop: all its calls are one place.
  frame.lasting = owner == CodeOwner::program ? combine(hash_text(symbol, name), resolved.symbol_offset)
                                              : hash_text(without_clone_suffix(symbol), name);
  frame.exact = frame.lasting;
  return frame;
}

PlaceFrame frame_by_module(std::string_view module, uint64_t offset) {
  PlaceFrame frame;
  frame.known_by = PlaceKnownBy::module;
  // Without a module there is an address only, which is another one in each run.
  uint64_t name = hash_text("!?", hash_text(base::base_name(module)));
  frame.lasting = module.empty() ? name : combine(name, offset);
  frame.exact = frame.lasting;
  return frame;
}

}  // namespace

PlaceFrame place_frame(std::string_view module, uint64_t offset, const ResolvedFrame* resolved) {
  CodeNames names{module, {}, {}};
  if (resolved) {
    names.file = resolved->file;
    names.function = resolved->function.empty() ? resolved->linkage_name : resolved->function;
  }
  CodeOwner owner = owner_of(names);
  // Without debug information a library's template may hold code of the program that is inlined into it.
  if (names.file.empty() && owner == CodeOwner::library && !is_system_module(module)) owner = CodeOwner::program;
  PlaceFrame frame;
  if (resolved && !resolved->file.empty() && resolved->line)
    frame = frame_by_line(*resolved);
  else if (!names.function.empty())
    frame = frame_by_function(module, *resolved, owner);
  else
    frame = frame_by_module(module, offset);
  frame.owner = owner;
  return frame;
}

void StackPlace::Chain::add(const PlaceFrame& frame) {
  lasting = combine(lasting, frame.lasting);
  exact = combine(exact, frame.exact);
  known_by = frame.known_by;
}

void StackPlace::add(const PlaceFrame& frame) {
  if (frame.owner == CodeOwner::start) return;
  all_.add(frame);
  if (frame.owner != CodeOwner::program) return;
  own_.add(frame);
  has_own_ = true;
}

void StackPlace::add(std::span<const PlaceFrame> frames) {
  for (size_t at = frames.size(); at-- > 0;) add(frames[at]);
}

void settle_signatures(std::span<SignedStack> stacks, std::span<uint32_t> order) {
  if (order.size() < stacks.size()) return;
  order = order.first(stacks.size());
  for (uint32_t at = 0; at < order.size(); ++at) order[at] = at;
  std::sort(order.begin(), order.end(), [&](uint32_t left, uint32_t right) {
    const SignedStack &a = stacks[left], &b = stacks[right];
    return a.signature != b.signature ? a.signature < b.signature : a.exact < b.exact;
  });
  for (size_t first = 0; first < order.size();) {
    size_t end = first + 1;
    uint64_t signature = stacks[order[first]].signature;
    while (end < order.size() && stacks[order[end]].signature == signature) ++end;
    bool is_one_place = stacks[order[first]].exact == stacks[order[end - 1]].exact;
    for (size_t at = first; at < end && !is_one_place; ++at)
      stacks[order[at]].signature = combine(signature, stacks[order[at]].exact);
    first = end;
  }
}

uint64_t signature_of(uint64_t lasting, ledger::Kind kind, std::string_view hook) {
  return combine(lasting, hash_text(hook, hash_text("\n", hash_text(kind_name(kind)))));
}

namespace {

/// Those that count before those that do not; kinds that are not held for good before memory and libraries.
int rank_of(const Place& place, const Site& site) {
  if (place.live == 0 && place.running == 0 && place.closed_by_gc == 0) return 5;
  if (!site.owner.empty()) return 4;
  if (!site.suppressed_by.empty()) return 3;
  if (place.live == 0 && place.closed_by_gc == 0) return 2;
  return is_news(site.kind) || place.lost ? 0 : 1;
}

bool is_worse(const Report& report, const Place& left, const Place& right) {
  int left_rank = rank_of(left, report.sites[left.first()]);
  int right_rank = rank_of(right, report.sites[right.first()]);
  if (left_rank != right_rank) return left_rank < right_rank;
  bool left_grows = left.value(Counter::growth) > 0, right_grows = right.value(Counter::growth) > 0;
  if (left_grows != right_grows) return left_grows;
  if (left.lost_bytes != right.lost_bytes) return left.lost_bytes > right.lost_bytes;
  uint64_t left_doubtful = left.possibly_lost_bytes + left.indirectly_lost_bytes;
  uint64_t right_doubtful = right.possibly_lost_bytes + right.indirectly_lost_bytes;
  if (left_doubtful != right_doubtful) return left_doubtful > right_doubtful;
  if (left.bytes != right.bytes) return left.bytes > right.bytes;
  uint64_t left_count = left.live + left.closed_by_gc, right_count = right.live + right.closed_by_gc;
  if (left_count != right_count) return left_count > right_count;
  if (left.running != right.running) return left.running > right.running;
  if (left.total != right.total) return left.total > right.total;
  return left.first() < right.first();
}

/// Are two sites one place? An overflow site, which represents many, never is.
int compare(const Site& left, const Site& right) {
  if (left.kind != right.kind) return left.kind < right.kind ? -1 : 1;
  if (left.signature != right.signature) return left.signature < right.signature ? -1 : 1;
  if (left.overflow != right.overflow) return left.overflow ? 1 : -1;
  if (left.overflow && left.id != right.id) return left.id < right.id ? -1 : 1;
  if (int owner = left.owner.compare(right.owner)) return owner;
  return left.suppressed_by.compare(right.suppressed_by);
}

void add_site(Report& report, base::Arena& arena, Place& place, uint32_t index) {
  const Site& site = report.sites[index];
  place.sites.add(arena, index);
  add_numbers(place, site);
  place.truncated = place.truncated || site.truncated;
  place.growing = place.growing || site.growing;
  if (site.growth) place.growth = site.growth;  // all of a place have the same
}

}  // namespace

bool is_growing(ledger::Kind kind, uint64_t there, uint64_t peak, uint64_t total) {
  constexpr uint64_t kFew = 10;
  return kind == ledger::Kind::thread && there >= kFew && there >= peak && there > total / 2;
}

void group_places(Report& report, base::Arena& arena) {
  report.places = {};
  std::span<uint32_t> order = arena.take_array<uint32_t>(report.sites.size());
  for (uint32_t at = 0; at < order.size(); ++at) order[at] = at;
  std::sort(order.begin(), order.end(), [&](uint32_t left, uint32_t right) {
    int difference = compare(report.sites[left], report.sites[right]);
    return difference ? difference < 0 : left < right;
  });
  if (!report.places.reserve(arena, order.size())) return;
  for (size_t at = 0; at < order.size(); ++at) {
    bool is_new = at == 0 || compare(report.sites[order[at - 1]], report.sites[order[at]]) != 0;
    Place* place = is_new ? report.places.add(arena) : &report.places[report.places.size() - 1];
    if (place) add_site(report, arena, *place, order[at]);
  }
  for (Place& place : report.places)
    place.growing = place.growing ||
                    is_growing(report.sites[place.first()].kind, place.live + place.running, place.peak, place.total);
  std::sort(report.places.begin(), report.places.end(),
            [&](const Place& left, const Place& right) { return is_worse(report, left, right); });
}

void regroup_places(Report& report, base::Arena& arena) {
  group_places(report, arena);
  for (const Place& place : report.places) {
    const Site& site = report.sites[place.first()];
    if (!site.counts()) continue;
    Totals& worst = report.worst_site[index_of(subject_of(site.kind))];
    for (size_t at = 0; at < kCounterCount; ++at) {
      auto counter = static_cast<Counter>(at);
      if (kRows[at].in_site_rules & bit_of(subject_of(site.kind)))
        worst[counter] = std::max(worst[counter], place.value(counter));
    }
  }
}

}  // namespace unfreed::report
