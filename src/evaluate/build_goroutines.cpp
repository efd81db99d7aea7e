// Goroutines, grouped by the go statement that started them and the place where they wait, with what they hold.
#include <algorithm>

#include "evaluate/build.h"

namespace unfreed::report {

namespace {

using ledger::GoroutineRecord;
using ledger::GoroutineState;

constexpr size_t kMostGroups = 256;
constexpr size_t kMostOfGroup = 32;
constexpr size_t kMostHeld = 32;

Text state_of(const GoroutineRecord& record) {
  switch (static_cast<GoroutineState>(record.state)) {
    case GoroutineState::runnable:
    case GoroutineState::preempted:
      return "runnable";
    case GoroutineState::running:
    case GoroutineState::copystack:
      return "running";
    case GoroutineState::syscall:
      return "syscall";
    case GoroutineState::waiting:
      return "waiting";
    default:
      return "unknown";
  }
}

/// A goroutine with the descriptors that it holds: a part of the list of all.
struct Holder {
  const GoroutineRecord* record;
  size_t first_fd;
  size_t fds;
};

/// Indexes of held descriptors that count and have a goroutine, by goroutine, then oldest first.
std::span<uint32_t> list_fds(Build& build) {
  std::span<const EvaluatedFd> fds = build.evaluation.fds;
  auto counts = [&](const EvaluatedFd& fd) {
    return fd.goroutine && fd.fd_class == FdClass::held && (!fd.site || build.evaluation.sites[fd.site].counts());
  };
  std::span<uint32_t> list = build.arena.take_array<uint32_t>(fds.size());
  size_t count = 0;
  for (uint32_t at = 0; at < list.size(); ++at)
    if (counts(fds[at])) list[count++] = at;
  list = list.first(count);
  std::sort(list.begin(), list.end(), [&](uint32_t left, uint32_t right) {
    if (fds[left].goroutine != fds[right].goroutine) return fds[left].goroutine < fds[right].goroutine;
    return fds[left].acquired_ns != fds[right].acquired_ns ? fds[left].acquired_ns < fds[right].acquired_ns
                                                           : fds[left].fd < fds[right].fd;
  });
  return list;
}

std::span<Holder> list_holders(Build& build, std::span<const uint32_t> fds) {
  const ledger::View& view = build.view();
  std::span<Holder> holders = build.arena.take_array<Holder>(view.goroutine_count());
  auto goroutine_of = [&](uint32_t index) { return build.evaluation.fds[index].goroutine; };
  size_t count = 0;
  for (uint32_t index = 0; index < holders.size(); ++index) {
    const GoroutineRecord* record = view.goroutine(index);
    if (!record) continue;
    auto first = std::lower_bound(fds.begin(), fds.end(), record->id,
                                  [&](uint32_t left, uint64_t right) { return goroutine_of(left) < right; });
    auto last = first;
    while (last != fds.end() && goroutine_of(*last) == record->id) ++last;
    holders[count++] = {record, static_cast<size_t>(first - fds.begin()), static_cast<size_t>(last - first)};
  }
  return holders.first(count);
}

constexpr uint64_t kMainRoutine = 1;

/// Go's runtime starts some for itself (the garbage collector's, one for finalizers …): what it starts, except the
/// program's first.
void leave_out_runtimes(Build& build, std::span<Holder>& holders) {
  uint32_t node = 0;
  bool is_runtimes = false;
  auto end = std::remove_if(holders.begin(), holders.end(), [&](const Holder& one) {
    if (one.record->created_node != node) {
      node = one.record->created_node;
      is_runtimes = false;
      visit_stack(build.view(), build.input.resolver, node,
                  {&is_runtimes, [](void* context, const FrameView& frame) {
                     bool is_named = frame.resolved && frame.resolved->function.starts_with("runtime.");
                     *static_cast<bool*>(context) = *static_cast<bool*>(context) || is_named;
                   }});
    }
    return is_runtimes && one.record->id != kMainRoutine;
  });
  holders = holders.first(static_cast<size_t>(end - holders.begin()));
}

bool is_same_group(const Holder& left, const Holder& right) {
  return left.record->created_node == right.record->created_node && left.record->node == right.record->node &&
         state_of(*left.record) == state_of(*right.record) && left.record->wait_reason == right.record->wait_reason;
}

/// Groups lie together; in a group, those that hold most come first, then those that have waited longest.
bool comes_before(const Holder& left, const Holder& right) {
  const GoroutineRecord &a = *left.record, &b = *right.record;
  if (a.created_node != b.created_node) return a.created_node < b.created_node;
  if (a.node != b.node) return a.node < b.node;
  if (state_of(a) != state_of(b)) return state_of(a) < state_of(b);
  if (a.wait_reason != b.wait_reason) return a.wait_reason < b.wait_reason;
  if (left.fds != right.fds) return left.fds > right.fds;
  // 0, not known, is the longest.
  if (a.waiting_since_ns != b.waiting_since_ns) return a.waiting_since_ns - 1 < b.waiting_since_ns - 1;
  return a.id < b.id;
}

std::optional<uint64_t> waiting_ns(const Build& build, const GoroutineRecord& record) {
  if (!record.waiting_since_ns || record.waiting_since_ns > build.now_ns) return {};
  return build.now_ns - record.waiting_since_ns;
}

void describe_goroutine(Build& build, const Holder& holder, std::span<const uint32_t> fds, Goroutine& out) {
  out.goroutine = holder.record->id;
  if (holder.record->creator) out.created_by = holder.record->creator;
  out.waiting_ns = waiting_ns(build, *holder.record);
  out.fd = holder.fds;
  for (size_t at = 0; at < holder.fds && at < kMostHeld; ++at) {
    Object* object = out.descriptors.add(build.arena);
    if (!object) break;
    describe_held(build, build.evaluation.fds[fds[holder.first_fd + at]], *object);
  }
  out.descriptors_omitted = holder.fds - out.descriptors.size();
}

void describe_group(Build& build, std::span<const Holder> holders, std::span<const uint32_t> fds, GoroutineGroup& out) {
  const GoroutineRecord& first = *holders[0].record;
  out.count = holders.size();
  out.state = state_of(first);
  out.wait_reason = build.view().text(first.wait_reason);
  bool cut = false;
  if (first.id != kMainRoutine) out.created_at = build.stacks.stack(first.created_node, cut);
  out.stack = build.stacks.stack(first.node, cut);
  out.truncated = cut || first.truncated != 0;
  for (const Holder& one : holders) {
    out.fd += one.fds;
    if (auto waiting = waiting_ns(build, *one.record)) out.waiting_ns = std::max(out.waiting_ns.value_or(0), *waiting);
    Goroutine* goroutine = out.goroutines.size() < kMostOfGroup ? out.goroutines.add(build.arena) : nullptr;
    if (goroutine) describe_goroutine(build, one, fds, *goroutine);
  }
  out.goroutines_omitted = out.count - out.goroutines.size();
}

}  // namespace

void build_goroutines(Build& build) {
  std::span<const uint32_t> fds = list_fds(build);
  std::span<Holder> holders = list_holders(build, fds);
  std::sort(holders.begin(), holders.end(), comes_before);
  leave_out_runtimes(build, holders);
  struct Group {
    size_t first;
    size_t count;
    size_t fds;
  };
  std::span<Group> groups = build.arena.take_array<Group>(holders.size());
  size_t count = 0;
  for (size_t at = 0; at < holders.size(); ++at) {
    if (at == 0 || !is_same_group(holders[at - 1], holders[at])) {
      if (count == groups.size()) break;
      groups[count++] = {at, 0, 0};
    }
    ++groups[count - 1].count;
    groups[count - 1].fds += holders[at].fds;
  }
  groups = groups.first(count);
  std::sort(groups.begin(), groups.end(), [&](const Group& left, const Group& right) {
    if (left.fds != right.fds) return left.fds > right.fds;
    if (left.count != right.count) return left.count > right.count;
    return left.first < right.first;
  });
  for (const Group& group : groups.first(std::min(groups.size(), kMostGroups))) {
    GoroutineGroup* out = build.out.goroutines.add(build.arena);
    if (!out) break;
    describe_group(build, holders.subspan(group.first, group.count), fds, *out);
  }
  build.out.goroutines_omitted = groups.size() - build.out.goroutines.size();
}

}  // namespace unfreed::report
