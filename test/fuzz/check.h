// What a fuzz target does about a broken promise: stop, loudly, in every build.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace unfreed::test {

inline void check(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

}  // namespace unfreed::test
