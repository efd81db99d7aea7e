#include "symbolize/perf_map.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace unfreed::symbolize {
namespace {

namespace fs = std::filesystem;

std::string function_at(const PerfMap& map, uint64_t address) {
  std::vector<SourceFrame> frames = map.resolve(address);
  return frames.empty() ? std::string() : frames[0].function;
}

TEST(PerfMap, FindsCodeByAddress) {
  PerfMap map("1000 10 one\n0x0000000000002000 0x20 void two(int, long)\n");
  EXPECT_EQ(function_at(map, 0xfff), "");
  EXPECT_EQ(function_at(map, 0x1000), "one");
  EXPECT_EQ(function_at(map, 0x100f), "one");
  EXPECT_EQ(function_at(map, 0x1010), "");
  EXPECT_EQ(function_at(map, 0x201f), "void two(int, long)");
}

TEST(PerfMap, LaterCodeReplacesWhatItOverlaps) {
  PerfMap map("1000 100 outer\n1040 20 inner\n0ff0 20 before\n10f0 20 behind\n2000 10 gone\n1ff0 40 over\n");
  EXPECT_EQ(function_at(map, 0xff0), "before");
  EXPECT_EQ(function_at(map, 0x100f), "before");
  EXPECT_EQ(function_at(map, 0x1010), "outer");
  EXPECT_EQ(function_at(map, 0x103f), "outer");
  EXPECT_EQ(function_at(map, 0x1040), "inner");
  EXPECT_EQ(function_at(map, 0x105f), "inner");
  EXPECT_EQ(function_at(map, 0x1060), "outer");
  EXPECT_EQ(function_at(map, 0x10ef), "outer");
  EXPECT_EQ(function_at(map, 0x10f0), "behind");
  EXPECT_EQ(function_at(map, 0x2008), "over");
  EXPECT_EQ(function_at(map, 0x202f), "over");
  PerfMap same("1000 10 old\n1000 10 new\n");
  EXPECT_EQ(function_at(same, 0x1004), "new");
}

TEST(PerfMap, PassesOverWhatIsNoLine) {
  PerfMap map("\nxyz 10 a\n1000\n1000 zz b\n1000 0 c\nffffffffffffffff 10 d\n1000 10\n2000 10 good\n3000 10 not ended");
  EXPECT_EQ(function_at(map, 0x1000), "");
  EXPECT_EQ(function_at(map, 0x2000), "good");
  EXPECT_EQ(function_at(map, 0x3000), "");
}

TEST(PerfMap, SplitsNamesOfNode) {
  SourceFrame frame = split_perf_name("JS:*openLog /srv/my app/log.js:3:17");
  EXPECT_EQ(frame.function, "openLog");
  EXPECT_EQ(frame.file, "/srv/my app/log.js");
  EXPECT_EQ(frame.line, 3u);
  EXPECT_TRUE(frame.is_function_line);
  frame = split_perf_name("LazyCompile:~realpathSync node:fs:2664:22");
  EXPECT_EQ(frame.function, "realpathSync");
  EXPECT_EQ(frame.file, "node:fs");
  EXPECT_EQ(split_perf_name("JS:*get length /srv/log.js:1:21").function, "get length");
  EXPECT_EQ(split_perf_name("JS:^set length /srv/log.js:2:21").file, "/srv/log.js");
  EXPECT_EQ(split_perf_name("JS:~ /srv/log.js:1:1").function, "(top level)");
  for (const char* other : {"Builtin:ArgumentsAdaptor", "JS:odd", "JS: :1", "RegExp:a b:1:2"}) {
    EXPECT_EQ(split_perf_name(other).function, other);
    EXPECT_EQ(split_perf_name(other).file, "") << other;
  }
}

TEST(PerfMap, SplitsNamesOfPython) {
  SourceFrame frame = split_perf_name("py::Log.open:/srv/log.py");
  EXPECT_EQ(frame.function, "Log.open");
  EXPECT_EQ(frame.file, "/srv/log.py");
  EXPECT_EQ(frame.line, 0u);
}

class PerfMapFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "perf-map-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    fs::create_directory(folder_ / "tmp");
    write("1000 10 first\n", 100);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& text, time_t seconds) {
    std::ofstream(path()) << text;
    timespec times[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, path().c_str(), times, 0), 0);
  }
  std::string path() { return folder_ / "tmp/perf-7.map"; }
  PerfMapOf process(int64_t started, int64_t seen) {
    constexpr int64_t kSecond = 1'000'000'000;
    return {.root = folder_, .pid = 7, .started_ns = started * kSecond, .seen_ns = seen * kSecond, .user = {}};
  }

  fs::path folder_;
};

TEST_F(PerfMapFile, MustBeFromTheProcesssTime) {
  for (auto [started, seen, is_of] : {std::tuple(50, 150, true), {50, 0, true}, {150, 200, false}, {10, 50, false}}) {
    PerfMap map;
    map.read(process(started, seen));
    EXPECT_EQ(function_at(map, 0x1000), is_of ? "first" : "") << started << " " << seen;
  }
}

TEST_F(PerfMapFile, IsReadAgainWhenItHasGrown) {
  PerfMap map;
  map.read(process(50, 0));
  write("1000 10 first\n2000 10 second\n", 101);
  map.read(process(50, 0));
  EXPECT_EQ(function_at(map, 0x1000), "first");
  EXPECT_EQ(function_at(map, 0x2000), "second");
}

TEST_F(PerfMapFile, IsForgottenWhenItIsGoneOrAnotherProcesss) {
  PerfMap map;
  map.read(process(50, 0));
  EXPECT_EQ(function_at(map, 0x1000), "first");
  map.read(process(150, 0));
  EXPECT_EQ(function_at(map, 0x1000), "");
  map.read(process(50, 0));
  fs::remove(path());
  map.read(process(50, 0));
  EXPECT_EQ(function_at(map, 0x1000), "");
}

TEST_F(PerfMapFile, MustBeARegularFile) {
  fs::rename(path(), folder_ / "elsewhere");
  fs::create_symlink(folder_ / "elsewhere", path());
  PerfMap map;
  map.read(process(50, 0));
  EXPECT_EQ(function_at(map, 0x1000), "");
  fs::remove(path());
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  map.read(process(50, 0));
  EXPECT_EQ(function_at(map, 0x1000), "");
}

TEST_F(PerfMapFile, MustBelongToTheProcesssUser) {
  if (geteuid() != 0) GTEST_SKIP() << "files of other users: only root makes them";
  constexpr uid_t kOther = 12345;
  ASSERT_EQ(chown(path().c_str(), kOther, kOther), 0);
  PerfMapOf wanted = process(50, 0);
  PerfMap map;
  map.read(wanted);
  EXPECT_EQ(function_at(map, 0x1000), "");
  wanted.user = kOther;
  map.read(wanted);
  EXPECT_EQ(function_at(map, 0x1000), "first");
}

}  // namespace
}  // namespace unfreed::symbolize
