#include "evaluate/site_places.h"

#include <algorithm>

#include "evaluate/frames.h"
#include "evaluate/places.h"

namespace unfreed::report {

namespace {

class NodePlaces {
 public:
  NodePlaces(const ledger::View& view, const FrameResolver& resolver, base::Arena& arena)
      : view_(view), resolver_(resolver), arena_(arena), numbers_(arena.take_array<uint32_t>(view.node_count())) {
    places_.reserve(arena, view.node_count());
  }

  StackPlace of(uint32_t leaf) {
    uint32_t chain[kMaxFrames];
    size_t depth = 0;
    StackPlace place;
    for (uint32_t node = leaf; node && depth < kMaxFrames;) {
      if (node < numbers_.size() && numbers_[node]) {
        place = places_[numbers_[node] - 1];
        break;
      }
      const ledger::Node* record = view_.node(node);
      if (!record) break;
      chain[depth++] = node;
      node = record->parent;
    }
    while (depth > 0) {
      uint32_t node = chain[--depth];
      add(place, *view_.node(node));
      if (node < numbers_.size() && places_.add(arena_, place)) numbers_[node] = places_.size();
    }
    return place;
  }

 private:
  void add(StackPlace& place, const ledger::Node& node) {
    frames_.clear();
    FrameVisitor visitor{&frames_, [](void* context, const FrameView& frame) {
                           auto& frames = *static_cast<PlaceFrames*>(context);
                           frames.add(place_frame(frame.module_path, lookup_offset(*frame.node), frame.resolved));
                         }};
    visit_node(view_, resolver_, node, visitor);
    place.add(frames_.all());
  }

  const ledger::View& view_;
  const FrameResolver& resolver_;
  base::Arena& arena_;
  List<StackPlace> places_;
  /// By ledger node: where its place is, + 1. What finds no room is worked out again and again.
  std::span<uint32_t> numbers_;
  PlaceFrames frames_;
};

}  // namespace

void sign_sites(const ReportInput& input, base::Arena& arena, Evaluation& evaluation) {
  const ledger::View& view = *evaluation.view;
  NodePlaces nodes(view, input.resolver, arena);
  // A fork child has its parent's sites, thousands of a large shell script's, and has used few of them itself.
  std::span<uint32_t> used = arena.take_array<uint32_t>(evaluation.sites.size());
  size_t count = 0;
  for (uint32_t index = 0; index < used.size(); ++index) {
    const EvaluatedSite& site = evaluation.sites[index];
    if (site.valid && (site.total || site.live || site.running) && view.site(index)) used[count++] = index;
  }
  used = used.first(count);
  std::span<SignedStack> stacks = arena.take_array<SignedStack>(count);
  for (size_t at = 0; at < stacks.size(); ++at) {
    EvaluatedSite& site = evaluation.sites[used[at]];
    const ledger::Site* record = view.site(used[at]);
    if (!record) continue;
    StackPlace place = nodes.of(record->node);
    site.known_by = place.known_by();
    stacks[at] = {signature_of(place.lasting(), site.kind, evaluation.function_name(record->hook)), place.exact()};
  }
  settle_signatures(stacks, arena.take_array<uint32_t>(count));
  for (size_t at = 0; at < stacks.size(); ++at) evaluation.sites[used[at]].signature = stacks[at].signature;
  evaluation.by_place = used;
  std::sort(evaluation.by_place.begin(), evaluation.by_place.end(), [&](uint32_t left, uint32_t right) {
    const EvaluatedSite &a = evaluation.sites[left], &b = evaluation.sites[right];
    if (a.kind != b.kind) return a.kind < b.kind;
    return a.signature != b.signature ? a.signature < b.signature : left < right;
  });
  evaluation.short_of_memory |= arena.short_of_memory();
}

void add_to_place(EvaluatedPlace& place, const EvaluatedSite& site, uint32_t index, const EvaluatedSite& worst) {
  add_numbers(place.sum, site);
  if (site.live + site.running > worst.live + worst.running) place.worst_site = index;
}

}  // namespace unfreed::report
