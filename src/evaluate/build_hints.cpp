// Hints: what the state of what call sites hold says about the mistake (hints.inc).
#include <algorithm>

#include "base/text.h"
#include "evaluate/build.h"
#include "evaluate/hints.h"

namespace unfreed::report {

namespace {

/// A target that has been opened at least this many times is named.
constexpr uint64_t kOften = 8;

/// What is known of the descriptors that a call site holds.
struct State {
  uint64_t live = 0;
  uint64_t close_wait = 0;
  uint64_t deleted = 0;
  uint64_t deleted_bytes = 0;
  uint64_t hung_up = 0;
  uint64_t unread = 0;
  uint64_t locked = 0;
  uint64_t same = 0;  ///< that lead to `target`
  Text target;        ///< a file: what most lead to
};

using Sentence = base::FixedText<512>;

/// "3 are ", "all are ": of what the call site holds.
base::TextBuilder& add_some(const State& state, uint64_t count, base::TextBuilder& out) {
  if (count == state.live && count > 1) return out.add("all are ");
  return out.add_number(count).add(count == 1 ? " is " : " are ");
}

/// "1.5 MiB": rounded to a tenth.
void add_size(uint64_t bytes, base::TextBuilder& out) {
  constexpr Text kUnits[] = {" KiB", " MiB", " GiB", " TiB"};
  size_t unit = 0;
  uint64_t tenths = (bytes * 10 + 512) / 1024;
  while (tenths >= 10240 && unit + 1 < std::size(kUnits)) {
    tenths = (tenths + 512) / 1024;
    ++unit;
  }
  out.add_number(tenths / 10);
  if (tenths < 1000 && tenths % 10) out.add('.').add_number(tenths % 10);
  out.add(kUnits[unit]);
}

void add_deleted(const State& state, base::TextBuilder& out) {
  add_some(state, state.deleted, out).add(state.deleted == 1 ? "a deleted file" : "deleted files");
  if (!state.deleted_bytes) {
    out.add(state.deleted == 1 ? ", whose disk space is free only when it is closed"
                               : ", whose disk space is free only when they are closed");
    return;
  }
  out.add(state.deleted == 1 ? " that takes " : " that take ");
  add_size(state.deleted_bytes, out);
  out.add(" of disk space until closed");
}

struct HintRow {
  Text name;
  bool (*applies)(const State& state);
  uint64_t (*count)(const State& state);
  uint64_t (*bytes)(const State& state);
  void (*write)(const State& state, base::TextBuilder& out);
};
constexpr HintRow kHintRows[] = {
#define HINT(name, when, number, size, sentence)                           \
  {#name, [](const State& state) -> bool { return when; },                 \
   []([[maybe_unused]] const State& state) -> uint64_t { return number; }, \
   []([[maybe_unused]] const State& state) -> uint64_t { return size; },   \
   [](const State& state, base::TextBuilder& out) { static_cast<void>(sentence); }},
#include "evaluate/hints.inc"
#undef HINT
};

/// Only for files and the like, whose names lead to them again.
bool is_named(Text target) { return !target.empty() && target.front() == '/'; }

/// A file that has been deleted, of a disk: what lies in memory, and devices, have such names, too.
bool is_deleted_file(Text target) {
  if (!is_named(target) || !target.ends_with(" (deleted)")) return false;
  for (Text elsewhere : {"/dev/", "/memfd:", "/secretmem", "/anon_hugepage"})
    if (target.starts_with(elsewhere)) return false;
  return true;
}

/// Returns what it leads to.
Text add_state(const KernelState& kernel, State& state) {
  state.close_wait += kernel.target.ends_with(" close_wait");
  state.deleted += is_deleted_file(kernel.target);
  state.deleted_bytes += (kernel.flags >> ledger::kKernelFdDiskShift) * ledger::kKernelFdDiskBlock;
  state.hung_up += (kernel.flags & ledger::kKernelFdHungUp) != 0;
  state.unread += (kernel.flags & ledger::kKernelFdUnread) != 0;
  state.locked += (kernel.flags & ledger::kKernelFdLocked) != 0;
  return kernel.target;
}

void find_same(std::span<Text> targets, State& state) {
  std::sort(targets.begin(), targets.end());
  for (size_t at = 0; at < targets.size();) {
    size_t end = at + 1;
    while (end < targets.size() && targets[end] == targets[at]) ++end;
    if (end - at > state.same) {
      state.same = end - at;
      state.target = targets[at];
    }
    at = end;
  }
}

void add_hints(const State& state, uint64_t site, Report& out, base::Arena& arena) {
  for (const HintRow& row : kHintRows) {
    if (!row.applies(state)) continue;
    Sentence sentence;
    row.write(state, sentence);
    if (Hint* hint = out.hints.add(arena))
      *hint = {row.name, site, row.count(state), row.bytes(state), arena.copy(sentence.text())};
  }
}

class States {
 public:
  explicit States(Build& build) : build_(build) {}

  State of(const Place& place) {
    State state;
    uint64_t room = 0;
    for (uint32_t site : place.sites) room += fds_of(build_.out.sites[site]).size();
    std::span<Text> targets = build_.arena.take_array<Text>(room);
    size_t named = 0;
    for (uint32_t site : place.sites)
      for (const EvaluatedFd& fd : fds_of(build_.out.sites[site])) {
        Text target = add(fd, state);
        if (is_named(target) && named < targets.size()) targets[named++] = target;
      }
    find_same(targets.first(named), state);
    return state;
  }

 private:
  std::span<const EvaluatedFd> fds_of(const Site& site) const {
    const EvaluatedSite& found = build_.evaluation.sites[site.id];
    return build_.evaluation.fds.subspan(found.first_object, found.objects);
  }

  /// Returns what it leads to.
  Text add(const EvaluatedFd& fd, State& state) const {
    ++state.live;
    const ledger::KernelFd* kernel = fd.kernel == kNoIndex ? nullptr : build_.view().kernel_fd(fd.kernel);
    return kernel ? add_state({build_.view().text(kernel->target), kernel->flags}, state) : Text();
  }

  Build& build_;
};

}  // namespace

void build_hints(Build& build) {
  States states(build);
  for (const Place& place : build.out.places) {
    const Site& site = build.out.sites[place.first()];
    if (site.kind != ledger::Kind::fd || !place.live || !site.counts()) continue;
    add_hints(states.of(place), site.id, build.out, build.arena);
  }
}

void add_hints_of_process(std::span<const KernelState> descriptors, Report& out, base::Arena& arena) {
  State state;
  std::span<Text> targets = arena.take_array<Text>(descriptors.size());
  size_t named = 0;
  for (const KernelState& one : descriptors) {
    ++state.live;
    Text target = add_state(one, state);
    if (is_named(target) && named < targets.size()) targets[named++] = target;
  }
  find_same(targets.first(named), state);
  add_hints(state, 0, out, arena);
}

}  // namespace unfreed::report
