/**
 * @file test_leaks.h
 * @brief What a test has acquired and not released, for listeners of test frameworks: gtest.h, catch2.h, doctest.h.
 *
 * Header-only, C++11. Without the preloaded runtime nothing is found, at the cost of a few instructions.
 */
#ifndef UNFREED_TEST_LEAKS_H
#define UNFREED_TEST_LEAKS_H

#include <unfreed/unfreed.h>

#include <string>
#include <vector>

namespace unfreed {

/** Kinds that a test must release: bits, 1 << UNFREED_FD. The heap's bit stands for blocks that are lost. */
using TestKinds = unsigned;

/** The kinds that the listeners look at. Change it before the tests run: `unfreed::test_kinds() = 1 << UNFREED_FD;` */
inline TestKinds& test_kinds() {
  static TestKinds kinds = 1u << UNFREED_FD | 1u << UNFREED_HEAP | 1u << UNFREED_THREAD | 1u << UNFREED_CHILD |
                           1u << UNFREED_TIMER | 1u << UNFREED_SHM;
  return kinds;
}

/** One call site, and what it holds; or a kind of which this could not be determined, as its text says. */
struct TestLeak {
  enum unfreed_kind kind;
  std::string file;  ///< "" if not known
  unsigned line;     ///< 0 if not known
  std::string text;  ///< "2 descriptors from open: /etc/hosts", and a line for each frame of the stack
};

/**
 * From here on, until leaks() is called, is one test. Not for several threads at once, but it sees what all threads
 * acquire: tests that run at the same time in one process cannot be distinguished.
 */
class TestLeaks {
 public:
  TestLeaks() : mark_(unfreed_mark()) {}

  /** What was acquired since and is held: waits for the command, which finds source lines, if there is anything. */
  std::vector<TestLeak> leaks() const {
    std::vector<TestLeak> found;
    if (!mark_) return found;
    const enum unfreed_kind kinds[] = {UNFREED_FD,    UNFREED_THREAD, UNFREED_CHILD,
                                       UNFREED_TIMER, UNFREED_SHM,    UNFREED_LIBRARY};
    for (enum unfreed_kind kind : kinds)
      if (holds(kind) && unfreed_live_since_each(mark_, kind, add, &found) < 0) add_undetermined(found, kind);
    // Of the heap, what is still in use may be a cache: only what nothing leads to any more is the test's fault.
    if (holds(UNFREED_HEAP) && unfreed_lost_since_each(mark_, add, &found) < 0) add_undetermined(found, UNFREED_HEAP);
    return found;
  }

 private:
  static bool is_wanted(enum unfreed_kind kind) { return (test_kinds() >> kind & 1u) != 0; }

  /** Of a kind that is not tracked a test holds nothing. */
  bool holds(enum unfreed_kind kind) const { return is_wanted(kind) && unfreed_live_since(mark_, kind) > 0; }

  /** A test of which nothing is known must not pass as one that leaks nothing. */
  static void add_undetermined(std::vector<TestLeak>& found, enum unfreed_kind kind) {
    TestLeak leak;
    leak.kind = kind;
    leak.line = 0;
    leak.text = std::string("an unknown number of") + noun(kind, true) + " (could not be determined: ";
    leak.text += kind == UNFREED_HEAP ? "a thread cannot be stopped, or a copy of the process cannot be made)\n"
                                      : "there is no memory, or the runtime tracks no more)\n";
    found.push_back(leak);
  }

  static const char* noun(enum unfreed_kind kind, bool many) {
    switch (kind) {
      case UNFREED_FD:
        return many ? " descriptors" : " descriptor";
      case UNFREED_HEAP:
        return many ? " lost blocks" : " lost block";
      case UNFREED_THREAD:
        return many ? " threads, neither joined nor detached," : " thread, neither joined nor detached,";
      case UNFREED_CHILD:
        return many ? " children, not waited for," : " child, not waited for,";
      case UNFREED_TIMER:
        return many ? " timers" : " timer";
      case UNFREED_SHM:
        return many ? " shared memory segments" : " shared memory segment";
      default:
        return many ? " libraries" : " library";
    }
  }

  static int add(void* context, const struct unfreed_site* site) {
    TestLeak leak;
    leak.kind = site->kind;
    leak.file = site->file;
    leak.line = site->line;
    leak.text = std::to_string(site->count) + noun(site->kind, site->count != 1);
    if (site->kind == UNFREED_HEAP) leak.text += " of " + std::to_string(site->bytes) + " bytes";
    leak.text += std::string(" from ") + (*site->acquired_by ? site->acquired_by : "an unknown call site");
    if (*site->target) leak.text += std::string(": ") + site->target;
    leak.text += std::string("\n") + site->stack;
    static_cast<std::vector<TestLeak>*>(context)->push_back(leak);
    return 0;
  }

  unfreed_mark_t mark_;
};

}  // namespace unfreed

#endif  // UNFREED_TEST_LEAKS_H
