#include "names/symbol_table.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "support/ledger_builder.h"
#include "support/report_text.h"

// What the tests look for in their own executable: kept whole, with a name of its own.
extern "C" __attribute__((noinline, used)) int unfreed_test_landmark(int value) { return value * 3 + 1; }
namespace {
__attribute__((noinline, used)) int hidden_landmark(int value) { return value * 5 + 1; }
}  // namespace

namespace unfreed::report {
namespace {

using test::LedgerBuilder;

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<std::byte> result(bytes.size());
  std::memcpy(result.data(), bytes.data(), bytes.size());
  return result;
}

struct Loaded {
  std::string path;
  uint64_t base = 0;
};

/// The object that `address` lies in.
Loaded object_of(const void* address) {
  Dl_info info{};
  EXPECT_NE(dladdr(address, &info), 0);
  struct link_map* map = nullptr;
  EXPECT_NE(dladdr1(address, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP), 0);
  std::string path = info.dli_fname;
  std::string self = std::filesystem::read_symlink("/proc/self/exe");
  return {path.front() == '/' ? path : self, map->l_addr};
}

/// Resolves one address of this process the way a report does.
std::string resolve(const void* address, std::string_view build_id = "", size_t* descriptors = nullptr) {
  LedgerBuilder builder;
  Loaded object = object_of(address);
  uint32_t module = builder.module(object.path, 0, build_id);
  SymbolTable symbols;
  FrameResolver resolver = symbols.resolver();
  ledger::Node node{0, module, reinterpret_cast<uint64_t>(address) - object.base + 1};
  std::string name;
  resolver.resolve(resolver.context, builder.view(), node, &name, [](void* context, const ResolvedFrame& frame) {
    bool is_mangled = frame.linkage_name.starts_with("_Z");
    EXPECT_EQ(frame.function, is_mangled ? "hidden_landmark(int)" : frame.linkage_name);
    EXPECT_FALSE(frame.inlined);
    *static_cast<std::string*>(context) = frame.linkage_name;
  });
  if (descriptors) {
    *descriptors = 0;
    for (int fd = 0; fd < 256; ++fd) *descriptors += fcntl(fd, F_GETFD) >= 0;
  }
  return name;
}

TEST(SymbolTable, FindsFunctionsOfTheExecutable) {
  EXPECT_EQ(resolve(reinterpret_cast<void*>(unfreed_test_landmark)), "unfreed_test_landmark");
  EXPECT_EQ(resolve(reinterpret_cast<void*>(hidden_landmark)), "_ZN12_GLOBAL__N_115hidden_landmarkEi");
}

TEST(SymbolTable, FindsPublicFunctionsOfAStrippedLibrary) { EXPECT_EQ(resolve(dlsym(RTLD_DEFAULT, "lfind")), "lfind"); }

TEST(SymbolTable, LeavesNoDescriptorOpen) {
  size_t before = 0;
  for (int fd = 0; fd < 256; ++fd) before += fcntl(fd, F_GETFD) >= 0;
  size_t during = 0;
  resolve(reinterpret_cast<void*>(unfreed_test_landmark), "", &during);
  EXPECT_EQ(during, before);
}

TEST(SymbolTable, AFileOfAnotherBuildGivesNoNames) {
  EXPECT_EQ(resolve(reinterpret_cast<void*>(unfreed_test_landmark), "other build"), "");
  ElfSymbols symbols;
  std::vector<std::byte> bytes = read_file(object_of(reinterpret_cast<void*>(unfreed_test_landmark)).path);
  ASSERT_TRUE(symbols.open(bytes));
  EXPECT_EQ(resolve(reinterpret_cast<void*>(unfreed_test_landmark), symbols.build_id()), "unfreed_test_landmark");
}

TEST(SymbolTable, ModulesThatAreNoFilesGiveNoNames) {
  std::string directory = std::filesystem::temp_directory_path() / ("unfreed-elf-" + std::to_string(getpid()));
  std::filesystem::create_directory(directory);
  ASSERT_EQ(mkfifo((directory + "/fifo").c_str(), 0600), 0);
  std::ofstream(directory + "/text") << "not an ELF file";
  std::ofstream(directory + "/empty");
  LedgerBuilder builder;
  SymbolTable symbols;
  FrameResolver resolver = symbols.resolver();
  for (const std::string& path : {std::string("[vdso]"), std::string("relative"), directory, directory + "/fifo",
                                  directory + "/text", directory + "/empty", directory + "/missing"}) {
    ledger::Node node{0, builder.module(path), 100};
    bool any = false;
    resolver.resolve(resolver.context, builder.view(), node, &any,
                     [](void* context, const ResolvedFrame&) { *static_cast<bool*>(context) = true; });
    EXPECT_FALSE(any) << path;
  }
  std::filesystem::remove_all(directory);
}

TEST(SymbolTable, LeavesLinkedNamesInAProcessThatIsNotOurs) {
  LedgerBuilder builder;
  void* address = reinterpret_cast<void*>(hidden_landmark);
  Loaded object = object_of(address);
  ledger::Node node{0, builder.module(object.path, 0, ""), reinterpret_cast<uint64_t>(address) - object.base + 1};
  auto symbols = std::make_unique<SymbolTable>();
  symbols->keep_linked_names();
  FrameResolver resolver = symbols->resolver();
  std::string name;
  resolver.resolve(resolver.context, builder.view(), node, &name, [](void* context, const ResolvedFrame& frame) {
    *static_cast<std::string*>(context) = frame.function;
  });
  EXPECT_EQ(name, "_ZN12_GLOBAL__N_115hidden_landmarkEi");
}

TEST(SymbolTable, MoreModulesThanAreKeptStillResolve) {
  LedgerBuilder builder;
  void* address = reinterpret_cast<void*>(hidden_landmark);
  Loaded object = object_of(address);
  SymbolTable symbols;
  FrameResolver resolver = symbols.resolver();
  for (int count = 0; count < 200; ++count) {
    ledger::Node node{0, builder.module(object.path, 0, ""), reinterpret_cast<uint64_t>(address) - object.base + 1};
    int found = 0;
    resolver.resolve(resolver.context, builder.view(), node, &found, [](void* context, const ResolvedFrame& frame) {
      *static_cast<int*>(context) += frame.function == "hidden_landmark(int)";
    });
    ASSERT_EQ(found, 1) << count;
  }
}

/// A minimal ELF file with these symbols: (name, address, size).
struct Function {
  std::string name;
  uint64_t address;
  uint64_t size;
  unsigned char bind = STB_GLOBAL;
  unsigned char type = STT_FUNC;
};
std::vector<std::byte> make_elf(const std::vector<Function>& functions) {
  std::string strings(1, '\0');
  std::vector<Elf64_Sym> symbols(1);
  for (const Function& function : functions) {
    Elf64_Sym symbol{};
    symbol.st_name = static_cast<uint32_t>(strings.size());
    symbol.st_info = ELF64_ST_INFO(function.bind, function.type);
    symbol.st_shndx = 1;
    symbol.st_value = function.address;
    symbol.st_size = function.size;
    symbols.push_back(symbol);
    strings += function.name + '\0';
  }
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 3;
  header.e_shoff = sizeof header;
  Elf64_Shdr sections[3] = {};
  sections[1].sh_type = SHT_SYMTAB;
  sections[1].sh_link = 2;
  sections[1].sh_offset = sizeof header + sizeof sections;
  sections[1].sh_size = symbols.size() * sizeof(Elf64_Sym);
  sections[2].sh_type = SHT_STRTAB;
  sections[2].sh_offset = sections[1].sh_offset + sections[1].sh_size;
  sections[2].sh_size = strings.size();
  std::vector<std::byte> file(sections[2].sh_offset + strings.size());
  std::memcpy(file.data(), &header, sizeof header);
  std::memcpy(file.data() + sizeof header, sections, sizeof sections);
  std::memcpy(file.data() + sections[1].sh_offset, symbols.data(), sections[1].sh_size);
  std::memcpy(file.data() + sections[2].sh_offset, strings.data(), strings.size());
  return file;
}

std::string find_in(const std::vector<std::byte>& file, uint64_t address) {
  ElfSymbols symbols;
  if (!symbols.open(file)) return "unreadable";
  std::vector<uint32_t> words(symbols.index_words());
  symbols.build_index(words);
  return std::string(symbols.find(address));
}

TEST(ElfSymbols, AFunctionCoversItsSize) {
  std::vector<std::byte> file = make_elf({{"second", 0x2000, 0x10}, {"first", 0x1000, 0x10}});
  EXPECT_EQ(find_in(file, 0x0fff), "");
  EXPECT_EQ(find_in(file, 0x1000), "first");
  EXPECT_EQ(find_in(file, 0x100f), "first");
  EXPECT_EQ(find_in(file, 0x1010), "");
  EXPECT_EQ(find_in(file, 0x2008), "second");
}

TEST(ElfSymbols, UnsizedFunctionsReachToTheNextOne) {
  std::vector<std::byte> file = make_elf({{"unsized", 0x1000, 0}, {"next", 0x1100, 0x10}});
  EXPECT_EQ(find_in(file, 0x10ff), "unsized");
  EXPECT_EQ(find_in(file, 0x1100), "next");
  EXPECT_EQ(find_in(file, 0x1110), "");
}

TEST(ElfSymbols, AFunctionAroundAnotherIsFound) {
  std::vector<std::byte> file = make_elf({{"outer", 0x1000, 0x100}, {"inner", 0x1010, 0x10}});
  EXPECT_EQ(find_in(file, 0x1018), "inner");
  EXPECT_EQ(find_in(file, 0x1080), "outer");
}

TEST(ElfSymbols, ATableAmongCodeEndsNoFunction) {
  std::vector<std::byte> file = make_elf({{"unsized", 0x1000, 0, STB_GLOBAL, STT_NOTYPE},
                                          {"table", 0x1040, 0x20, STB_LOCAL, STT_OBJECT},
                                          {"outer", 0x2000, 0x1000}});
  EXPECT_EQ(find_in(file, 0x1050), "table");
  EXPECT_EQ(find_in(file, 0x1080), "unsized");
  std::vector<Function> many{{"outer", 0x1000, 0x1000}};
  for (uint64_t at = 0; at < 40; ++at) many.push_back({"table", 0x1100 + 16 * at, 8, STB_LOCAL, STT_OBJECT});
  EXPECT_EQ(find_in(make_elf(many), 0x1f00), "outer");
}

TEST(ElfSymbols, EachOfManyIsFoundHoweverTheyAreSpread) {
  std::mt19937_64 random(3);
  std::vector<Function> functions;
  for (uint64_t at = 0x1000; functions.size() < 3000;) {
    functions.push_back({"f" + std::to_string(functions.size()), at, 1 + random() % 64});
    if (random() % 8 == 0) functions.push_back({".local", at, 1});
    // Most lie close together, some far apart.
    at += 64 + (random() % 500 == 0 ? random() % (1 << 24) : random() % 64);
  }
  functions.push_back({"per_thread", 0x10, 8, STB_LOCAL, STT_TLS});
  std::shuffle(functions.begin(), functions.end(), random);
  std::vector<std::byte> file = make_elf(functions);
  ElfSymbols symbols;
  ASSERT_TRUE(symbols.open(file));
  std::vector<uint32_t> words(symbols.index_words());
  symbols.build_index(words);
  for (const Function& function : functions) {
    if (function.name == ".local") continue;
    uint64_t start = function.address + (function.type == STT_TLS ? ledger::kThreadLocals : 0);
    uint64_t into = 0;
    EXPECT_EQ(symbols.find(start + function.size - 1, &into), function.name);
    EXPECT_EQ(into, function.size - 1);
    EXPECT_EQ(symbols.find(start + function.size), "") << function.name;
  }
}

TEST(ElfSymbols, OfSeveralNamesThePublicOneIsTaken) {
  std::vector<std::byte> file = make_elf(
      {{"__open64", 0x1000, 8}, {"open", 0x1000, 8}, {"local_alias", 0x1000, 8, STB_LOCAL}, {"_open", 0x1000, 8}});
  EXPECT_EQ(find_in(file, 0x1004), "open");
}

TEST(ElfSymbols, TruncatedFilesAreSurvived) {
  std::vector<std::byte> whole = make_elf({{"first", 0x1000, 0x10}, {"second", 0x2000, 0x10}});
  for (size_t size = 0; size < whole.size(); ++size) {
    std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    find_in(cut, 0x1000);
  }
  EXPECT_EQ(find_in(whole, 0x1000), "first");
}

TEST(ElfSymbols, DamagedFilesAreSurvived) {
  std::mt19937_64 random(7);
  std::vector<std::byte> whole = make_elf({{"first", 0x1000, 0x10}, {"second", 0x2000, 0x10}});
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> file = whole;
    for (int change = 0; change < 4; ++change) file[random() % file.size()] = static_cast<std::byte>(random());
    find_in(file, 0x1000 + random() % 0x2000);
  }
}

}  // namespace
}  // namespace unfreed::report
