// Every hooked function in a pair: a function that takes something through it and keeps it, and one that gives it back.
//
//   twins --list               one line per pair: name, hooked function, kind, acquired_by, how many are kept, source
//   line twins leak|clean [NAME…]   runs the leaking or the clean ones (all, or those named), in this order
//
// The table is the list of pairs, a line each. The functions are called leak_NAME and clean_NAME, and everything in
// them stands on the table's line. A hooked function of hooks.inc that gives something back has a pair too: its clean
// twin uses it. What a machine does not offer (kernel too old, not permitted, not in this libc) is said on stdout:
// "unavailable NAME: why".
#include "twins_support.h"

// clang-format off
#define TWIN(hook, kind, shown, kept, acquire, release) PAIR(hook, hook, kind, shown, kept, acquire, release)
#define PAIR(name, hook, kind, shown, kept, acquire, release) \
  extern "C" void leak_##name() { acquire; } extern "C" void clean_##name() { acquire; release; }
#include "twins_table.inc"
#undef PAIR

namespace {
struct Pair { const char* name; const char* hook; const char* kind; const char* shown; int kept; int line; void (*leak)(); void (*clean)(); const void* found; };
const Pair* pairs(size_t& count) {
  static const Pair kPairs[] = {
#define PAIR(name, hook, kind, shown, kept, acquire, release) {#name, #hook, #kind, shown, kept, __LINE__, leak_##name, clean_##name, reinterpret_cast<const void*>(&hook)},
#include "twins_table.inc"
#undef PAIR
  };
  count = sizeof kPairs / sizeof *kPairs;
  return kPairs;
}
}  // namespace
// clang-format on

int main(int argc, char** argv) {
  size_t count;
  const Pair* all = pairs(count);
  bool leak = argc > 1 && !strcmp(argv[1], "leak");
  if (argc > 1 && !strcmp(argv[1], "--list")) {
    for (const Pair* pair = all; pair < all + count; ++pair)
      printf("%s\t%s\t%s\t%s\t%d\t%d\n", pair->name, pair->hook, pair->kind, pair->shown, pair->kept, pair->line);
    return 0;
  }
  if (!leak && (argc < 2 || strcmp(argv[1], "clean"))) return 2;
  signal(SIGPIPE, SIG_IGN);
  for (const Pair* pair = all; pair < all + count; ++pair) {
    bool wanted = argc == 2;
    for (int i = 2; i < argc; ++i) wanted = wanted || !strcmp(argv[i], pair->name);
    if (!wanted) continue;
    g_current = pair->name;
    if (!pair->found)
      unavailable(ENOSYS);
    else
      (leak ? pair->leak : pair->clean)();
  }
  wait_for_threads();
  return 0;
}
