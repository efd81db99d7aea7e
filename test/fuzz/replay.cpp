// Runs a fuzz target over files: its committed corpus as an ordinary test, or an input that a fuzzer found. Every input
// is also run cut short, since a parser's worst faults are at the end of what it is given.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

/// The input in memory of exactly its size, so that sanitizers see a read beyond it.
void run(const std::vector<uint8_t>& input, size_t size) {
  std::vector<uint8_t> exact(input.begin(), input.begin() + static_cast<ptrdiff_t>(size));
  exact.shrink_to_fit();
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

void replay(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> input((std::istreambuf_iterator<char>(file)), {});
  size_t step = input.size() / 64 + 1;
  for (size_t size = 0; size < input.size(); size += step) run(input, size);
  run(input, input.size());
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  for (int index = 1; index < argc; ++index) {
    if (!std::filesystem::is_directory(argv[index])) {
      replay(argv[index]);
      ++count;
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[index])) {
      replay(entry.path());
      ++count;
    }
  }
  std::printf("%d inputs\n", count);
  return count > 0 ? 0 : 1;
}
