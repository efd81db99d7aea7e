// Addresses of a program whose places are known, through every form in which debug information comes, and through files
// that are damaged, changed or gone.
#include "symbolize/symbolizer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "elf/opened.h"

namespace unfreed::symbolize {
namespace {

namespace fs = std::filesystem;

std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The line of sample.cpp that carries "// @mark".
uint32_t line_of(const std::string& mark) {
  std::istringstream source(slurp(SAMPLE_SOURCE));
  uint32_t number = 0;
  for (std::string line; std::getline(source, line);) {
    ++number;
    if (line.ends_with("// @" + mark)) return number;
  }
  ADD_FAILURE() << "no mark " << mark;
  return 0;
}

/// Runs a sample: name of each place and its offset.
std::map<std::string, uint64_t> places_of(const fs::path& program) {
  std::map<std::string, uint64_t> places;
  FILE* pipe = popen(("'" + program.string() + "'").c_str(), "r");
  char name[32];
  unsigned long offset = 0;
  while (pipe && std::fscanf(pipe, "%31s %lx", name, &offset) == 2) places[name] = offset;
  if (pipe) pclose(pipe);
  return places;
}

std::string build_id_of(const fs::path& program) {
  elf::Opened opened(program.c_str());
  elf::Bytes bytes = opened.bytes();
  elf::File file;
  char id[64];
  return opened && !file.open(bytes) ? std::string(id, file.build_id(id)) : "";
}

fs::path sample(const std::string& form) { return fs::path(SAMPLE_FOLDER) / ("sample-" + form); }

class SymbolizerTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/unfreed-symbolize-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  static void run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

  std::vector<SourceFrame> frames(const fs::path& program, uint64_t offset, Options options = {}) {
    Symbolizer symbolizer(std::move(options));
    return symbolizer.module(program.string(), build_id_of(program)).resolve(offset, true);
  }

  void expect_full(const fs::path& program, Options options = {}) {
    auto places = places_of(sample("dwarf5"));
    if (program.filename() != "sample-dwarf5") places = places_of(program);
    ASSERT_EQ(places.size(), 3u);

    auto plain = frames(program, places["plain"], options);
    ASSERT_EQ(plain.size(), 1u);
    EXPECT_EQ(plain[0].function, "sample::Widget::plain(int)");
    EXPECT_EQ(plain[0].file, SAMPLE_SOURCE);
    EXPECT_EQ(plain[0].line, line_of("plain"));
    EXPECT_FALSE(plain[0].inlined);
    EXPECT_TRUE(plain[0].linkage_name.starts_with("_ZN6sample6Widget5plainEi")) << plain[0].linkage_name;

    auto inlined = frames(program, places["inlined"], options);
    ASSERT_EQ(inlined.size(), 3u);
    EXPECT_EQ(inlined[0].function, "sample::innermost(char const*)");
    EXPECT_EQ(inlined[0].line, line_of("innermost"));
    EXPECT_TRUE(inlined[0].inlined);
    EXPECT_EQ(inlined[1].function, "sample::middle(char const*)");
    EXPECT_EQ(inlined[1].line, line_of("middle"));
    EXPECT_TRUE(inlined[1].inlined);
    EXPECT_EQ(inlined[2].function, "sample::Widget::inlining(char const*)");
    EXPECT_EQ(inlined[2].line, line_of("inlining"));
    EXPECT_EQ(inlined[2].file, SAMPLE_SOURCE);
    EXPECT_FALSE(inlined[2].inlined);

    auto c = frames(program, places["c"], options);
    ASSERT_EQ(c.size(), 1u);
    EXPECT_EQ(c[0].function, "c_function");
    EXPECT_EQ(c[0].linkage_name, "c_function");
    EXPECT_EQ(c[0].line, line_of("c"));
  }

  fs::path folder_;
};

TEST_F(SymbolizerTest, ReadsDwarf5) { expect_full(sample("dwarf5")); }
TEST_F(SymbolizerTest, ReadsDwarf4) { expect_full(sample("dwarf4")); }
TEST_F(SymbolizerTest, ReadsSplitDwarf) { expect_full(sample("split")); }

TEST_F(SymbolizerTest, FindsSeparateDebugFileByBuildId) {
  fs::path program = folder_ / "program";
  fs::copy_file(sample("dwarf5"), program);
  std::string id;
  for (unsigned char byte : build_id_of(program)) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    id += digits;
  }
  ASSERT_EQ(id.size(), 40u);
  fs::path debug = folder_ / "debug/.build-id" / id.substr(0, 2) / (id.substr(2) + ".debug");
  fs::create_directories(debug.parent_path());
  run("objcopy --only-keep-debug " + program.string() + " " + debug.string());
  run("strip " + program.string());
  auto bare = frames(program, places_of(program)["plain"]);
  EXPECT_TRUE(bare.empty() || bare[0].file.empty());
  expect_full(program, {.debug_directories = (folder_ / "debug").string(), .root = ""});
}

TEST_F(SymbolizerTest, FindsSeparateDebugFileByLink) {
  fs::path program = folder_ / "program";
  fs::copy_file(sample("dwarf5"), program);
  fs::create_directories(folder_ / ".debug");
  run("objcopy --only-keep-debug " + program.string() + " " + (folder_ / ".debug/program.debug").string());
  run("strip " + program.string());
  run("cd " + folder_.string() + "/.debug && objcopy --add-gnu-debuglink=program.debug ../program");
  expect_full(program);
}

// Whoever names a file for us to read may name one that is no file, or has no end.
TEST_F(SymbolizerTest, WaitsForNoDebugFile) {
  fs::path program = folder_ / "program";
  fs::path debug = folder_ / "program.debug";
  fs::copy_file(sample("dwarf5"), program);
  run("objcopy --only-keep-debug " + program.string() + " " + debug.string());
  run("strip " + program.string());
  run("cd " + folder_.string() + " && objcopy --add-gnu-debuglink=program.debug program");
  uint64_t place = places_of(program)["c"];
  for (const char* odd : {"mkfifo", "ln -s /dev/zero", "truncate -s 5T"}) {
    fs::remove(debug);
    run(std::string(odd) + " " + debug.string());
    auto found = frames(program, place);
    EXPECT_TRUE(found.empty() || found[0].file.empty()) << odd;
  }
  // The next place is still looked at.
  fs::create_directories(folder_ / ".debug");
  run("objcopy --only-keep-debug " + sample("dwarf5").string() + " " + (folder_ / ".debug/program.debug").string());
  expect_full(program);
}

TEST_F(SymbolizerTest, WaitsForNoSplitDebugFile) {
  fs::path program = folder_ / "program";
  fs::copy_file(sample("split"), program);
  // libdw looks for it beside the program first, then under the folder that the program was built in.
  const char* name = "test/unit/symbolize/sample-split.p/sample.cpp.dwo";
  ASSERT_NE(slurp(program).find(name), std::string::npos);
  fs::path split = folder_ / name;
  fs::create_directories(split.parent_path());
  ASSERT_EQ(mkfifo(split.c_str(), 0600), 0);
  expect_full(program);
}

TEST_F(SymbolizerTest, WaitsForNoModule) {
  fs::path program = folder_ / "program";
  for (const char* odd : {"mkfifo", "ln -s /dev/zero", "truncate -s 5T"}) {
    fs::remove(program);
    run(std::string(odd) + " " + program.string());
    Symbolizer symbolizer;
    Module& module = symbolizer.module(program.string(), "");
    EXPECT_TRUE(module.resolve(0x401000, true).empty()) << odd;
    bool is_large = std::string(odd).starts_with("truncate");
    EXPECT_EQ(module.problem(), is_large ? "cannot be read (too large)" : "cannot be read (not a regular file)");
  }
}

TEST_F(SymbolizerTest, NamesFunctionsWithoutDebugInformation) {
  auto found = frames(sample("nodebug"), places_of(sample("nodebug"))["plain"]);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].function, "sample::Widget::plain(int)");
  EXPECT_TRUE(found[0].file.empty());
  EXPECT_EQ(found[0].line, 0u);
}

TEST_F(SymbolizerTest, RefusesFileThatHasChanged) {
  Symbolizer symbolizer;
  Module& module = symbolizer.module(sample("dwarf5").string(), std::string(20, '\x11'));
  EXPECT_TRUE(module.resolve(places_of(sample("dwarf5"))["plain"], true).empty());
  EXPECT_NE(module.problem().find("has changed since the program ran"), std::string::npos) << module.problem();
  EXPECT_NE(module.problem().find("1111111111"), std::string::npos) << module.problem();
}

TEST_F(SymbolizerTest, SaysWhyFileCannotBeRead) {
  Symbolizer symbolizer;
  Module& gone = symbolizer.module("/nonexistent/program", "");
  EXPECT_TRUE(gone.resolve(0x1234, true).empty());
  EXPECT_NE(gone.problem().find("No such file"), std::string::npos) << gone.problem();
  Module& text = symbolizer.module(SAMPLE_SOURCE, "");
  EXPECT_TRUE(text.resolve(0x1234, true).empty());
  EXPECT_NE(text.problem().find("not an ELF file"), std::string::npos) << text.problem();
  Module& vdso = symbolizer.module("[vdso]", "");
  EXPECT_TRUE(vdso.resolve(0x1234, true).empty());
  EXPECT_EQ(vdso.problem(), "");
}

TEST_F(SymbolizerTest, FindsFileUnderAnotherRoot) {
  fs::path program = folder_ / "root/opt/program";
  fs::create_directories(program.parent_path());
  fs::copy_file(sample("dwarf5"), program);
  Symbolizer symbolizer({.debug_directories = kDebugDirectories, .root = (folder_ / "root").string()});
  auto found = symbolizer.module("/opt/program", build_id_of(program)).resolve(places_of(program)["c"], true);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].line, line_of("c"));
}

TEST_F(SymbolizerTest, AnswersNothingForAddressesOutside) {
  for (uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{0x10}, UINT64_MAX, UINT64_MAX / 2})
    EXPECT_TRUE(frames(sample("dwarf5"), offset).empty()) << offset;
}

// Bytes anywhere in the file, then in the sections that are parsed: whatever comes out, it comes out.
TEST_F(SymbolizerTest, SurvivesDamagedFiles) {
  std::mt19937 random(7);
  for (const char* form : {"dwarf5", "dwarf4"}) {
    const std::string whole = slurp(sample(form));
    auto places = places_of(sample(form));
    ASSERT_GT(whole.size(), 1000u);
    for (int round = 0; round < 150; ++round) {
      std::string damaged = whole;
      if (round % 10 == 0) damaged.resize(random() % whole.size());
      size_t hits = damaged.empty() ? 0 : 1u << random() % 8;
      // The debug sections lie in the last two thirds of the file.
      for (size_t hit = 0; hit < hits; ++hit) {
        size_t low = round % 2 ? damaged.size() / 3 : 0;
        damaged[low + random() % (damaged.size() - low)] = static_cast<char>(random());
      }
      fs::path program = folder_ / "damaged";
      std::ofstream(program, std::ios::binary) << damaged;
      Symbolizer symbolizer;
      Module& module = symbolizer.module(program.string(), "");
      for (const auto& [name, offset] : places) module.resolve(offset, true);
      for (uint64_t offset = 0x401000; offset < 0x401400; offset += 16) module.resolve(offset, true);
    }
  }
}

}  // namespace
}  // namespace unfreed::symbolize
