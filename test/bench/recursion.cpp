// A program of the kind that scripts/bench measures whole: deep recursion, over ever different paths, that fills and
// empties maps of strings.
#include <cstdio>
#include <map>
#include <string>

namespace {

long descend(int depth, std::map<std::string, int>& words, unsigned path) {
  if (depth > 0) {
    // Two call sites, so that paths differ, and something to do after the call, or it would be made a loop.
    volatile unsigned seen[4] = {path};
    long below = path >> depth % 32 & 1 ? descend(depth - 1, words, path) : descend(depth - 1, words, ~path) + 1;
    return below + (seen[0] == path ? 0 : 1);
  }
  std::map<int, std::string> few;
  for (unsigned i = 0; i < 20; i++) few[static_cast<int>((path * 7919 + i * 31) % 97)] = std::string(20 + i, 'x');
  words[std::to_string(path % 5000) + " is a word that needs a block"]++;
  return static_cast<long>(few.size());
}

}  // namespace

int main() {
  std::map<std::string, int> words;
  long sum = 0;
  for (unsigned i = 0; i < 150000; i++) sum += descend(40 + static_cast<int>(i % 7), words, i % 512 * 2654435761u);
  printf("%ld %zu\n", sum, words.size());
}
