// The input is an ELF file.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "check.h"
#include "elf/program.h"
#include "names/elf_symbols.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unfreed;
  elf::Bytes bytes({reinterpret_cast<const std::byte*>(data), size});
  elf::Program program;
  elf::read_program(bytes, elf::Depth::whole, program);
  char interpreter[64], argument[64];
  elf::read_script(bytes, interpreter, argument);
  report::ElfSymbols symbols;
  if (!symbols.open({reinterpret_cast<const std::byte*>(data), size})) return 0;
  test::check(symbols.build_id().size() <= size, "a build ID lies within the file");
  std::vector<uint32_t> words(symbols.index_words());
  symbols.build_index(words);
  const auto* start = reinterpret_cast<const char*>(data);
  for (uint64_t address : {uint64_t{0}, uint64_t{0x1004}, uint64_t{0x2008}, UINT64_MAX}) {
    std::string_view name = symbols.find(address);
    test::check(name.empty() || (name.data() >= start && name.data() + name.size() < start + size),
                "a name lies within the file");
  }
  return 0;
}
