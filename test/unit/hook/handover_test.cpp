// The environment that programs get which cannot take the library, or whose own was cleared.
#include "hook/handover.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/scratch_folder.h"

namespace unfreed::hook {
namespace {

using elf::Obstacle;
using Entries = std::vector<std::string>;

class HandoverTest : public test::ScratchFolder {
 protected:
  void SetUp() override {
    ScratchFolder::SetUp();
    library_ = write("libunfreed.so", "");
    library_.copy(g_preloading.library, sizeof g_preloading.library - 1);
    library_.copy(g_preloading.entry, sizeof g_preloading.entry - 1);
  }
  void TearDown() override {
    g_preloading = {};
    ScratchFolder::TearDown();
  }
  /// A program of another processor: the beginning of its file is what is judged.
  std::string foreign_program(const std::string& name) const {
    std::string head(64, '\0');
    head.replace(0, 7,
                 std::string("\x7f"
                             "ELF\x01\x01\x01",
                             7));  // 32-bit
    head[16] = 2;                  // ET_EXEC
    head[18] = 40;                 // EM_ARM
    std::string file = write(name, head);
    chmod(file.c_str(), 0755);
    return file;
  }
  /// What a program gets that is started with these.
  Entries handed(const ProgramName& program, const Entries& given) {
    std::vector<const char*> list;
    for (const std::string& entry : given) list.push_back(entry.c_str());
    list.push_back(nullptr);
    Handover handover(program, const_cast<char* const*>(list.data()));
    obstacle_ = handover.obstacle();
    program_ = handover.program();
    is_told_ = handover.is_told();
    Entries out;
    for (char* const* entry = handover.environment(); *entry; ++entry) out.emplace_back(*entry);
    return out;
  }
  std::string preload(const std::string& value) const { return "LD_PRELOAD=" + value; }

  std::string library_, program_;
  Obstacle obstacle_{};
  bool is_told_ = false;
};

TEST_F(HandoverTest, LeavesTheEnvironmentOfAProgramThatTakesTheLibrary) {
  Entries given{"A=1", preload("one.so:" + library_), "B=2"};
  EXPECT_EQ(handed({"/bin/sh"}, given), given);
  EXPECT_EQ(obstacle_, Obstacle::none);
  EXPECT_EQ(program_, "/bin/sh");
}

TEST_F(HandoverTest, LeavesTheLibraryOutForAProgramOfAnotherProcessor) {
  std::string program = foreign_program("program");
  EXPECT_EQ(handed({program.c_str()}, {"A=1", preload("one.so:" + library_ + ":two.so"), "B=2"}),
            (Entries{"A=1", preload("one.so:two.so"), "B=2"}));
  EXPECT_EQ(obstacle_, Obstacle::other_processor);
  EXPECT_EQ(handed({program.c_str()}, {"A=1", preload(library_), "B=2"}), (Entries{"A=1", "B=2"}));
  EXPECT_EQ(handed({program.c_str()}, {"A=1", "LD_PRELOADS=" + library_}), (Entries{"A=1", "LD_PRELOADS=" + library_}))
      << "another variable";
}

TEST_F(HandoverTest, InformsOfProgramsThatAreNotTrackedAndOfInterest) {
  std::string program = foreign_program("program"), other = foreign_program("other");
  g_preloading.is_noted = [](std::string_view path) { return path.ends_with("/program"); };
  handed({program.c_str()}, {preload(library_)});
  EXPECT_TRUE(is_told_);
  handed({other.c_str()}, {preload(library_)});
  EXPECT_FALSE(is_told_);
  g_preloading.is_noted = [](std::string_view) { return true; };
  handed({"/bin/sh"}, {preload(library_)});
  EXPECT_FALSE(is_told_) << "it is tracked";
  handed({path("absent").c_str()}, {preload(library_)});
  EXPECT_FALSE(is_told_);
}

TEST_F(HandoverTest, NamesAProgramByItsWholePath) {
  std::string program = foreign_program("program");
  std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_);
  for (const char* name : {"program", "./program", "././program"}) {
    handed({name}, {preload(library_)});
    EXPECT_EQ(program_, program) << name;
  }
  std::filesystem::current_path(before);
}

TEST_F(HandoverTest, LeavesOutALibraryThatIsGone) {
  remove(library_.c_str());
  EXPECT_EQ(handed({"/bin/sh"}, {preload(library_), "A=1"}), Entries{"A=1"});
  EXPECT_EQ(obstacle_, Obstacle::unreachable);
}

TEST_F(HandoverTest, SearchesInEveryFolderOfThePath) {
  std::filesystem::create_directory(path("first"));
  std::filesystem::create_directory(path("last"));
  std::filesystem::create_directories(path("first/tool"));  // a folder is no program
  write("middle_tool", "");
  std::string program = foreign_program("last/tool");
  std::string before = getenv("PATH");
  setenv("PATH", (path("first") + ":" + path("absent") + ":" + path("last")).c_str(), 1);
  handed({"tool", AT_FDCWD, true}, {preload(library_)});
  EXPECT_EQ(program_, program);
  EXPECT_EQ(obstacle_, Obstacle::other_processor);
  handed({"no-such-tool", AT_FDCWD, true}, {preload(library_)});
  EXPECT_EQ(program_, "");
  chmod(program.c_str(), 0644);
  handed({"tool", AT_FDCWD, true}, {preload(library_)});
  EXPECT_EQ(program_, "") << "it cannot be executed";
  setenv("PATH", before.c_str(), 1);
}

TEST_F(HandoverTest, SaysOfAClearedEnvironmentWhatItLacks) {
  g_preloading.has_session = true;
  handed({"/bin/sh"}, {"A=1"});
  EXPECT_EQ(obstacle_, Obstacle::no_preload);
  handed({"/bin/sh"}, {preload(library_)});
  EXPECT_EQ(obstacle_, Obstacle::no_session);
  handed({"/bin/sh"}, {preload(library_), "UNFREED_SESSION=x"});
  EXPECT_EQ(obstacle_, Obstacle::none);
  handed({"/bin/sh"}, {"A=1", "UNFREED_DISABLE=1"});
  EXPECT_EQ(obstacle_, Obstacle::none) << "the user does not want it";
}

TEST_F(HandoverTest, RestoresWhatAClearedEnvironmentLacksAndKeepsWhatItHas) {
  std::string session = "UNFREED_SESSION=mine", rules = "UNFREED_RULES=mine";
  char* forced[] = {session.data(), rules.data(), nullptr};
  g_preloading.forced = forced;
  g_preloading.has_session = true;
  auto sorted = [](Entries entries) {  // their order means nothing
    std::sort(entries.begin(), entries.end());
    return entries;
  };
  auto restored = [&](const Entries& given) { return sorted(handed({"/bin/sh"}, given)); };
  EXPECT_EQ(restored({"A=1"}), sorted({"A=1", preload(library_), session, rules}));
  EXPECT_EQ(obstacle_, Obstacle::none);
  EXPECT_EQ(restored({preload("one.so"), "A=1", "UNFREED_RULES=given"}),
            sorted({"A=1", preload(library_ + ":one.so"), "UNFREED_RULES=given", session}));
  EXPECT_EQ(restored({preload("one.so:" + library_)}), sorted({preload("one.so:" + library_), session, rules}));
}

TEST_F(HandoverTest, LeavesArgumentsThatCannotBeReadToTheCall) {
  auto* nowhere = static_cast<char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  char* const list[] = {nowhere, nullptr};
  for (char* const* environment : {list, reinterpret_cast<char* const*>(nowhere)}) {
    errno = 7;
    Handover handover({"/bin/sh"}, environment);
    EXPECT_EQ(handover.environment(), environment);
    EXPECT_EQ(errno, 7);
  }
  munmap(nowhere, 4096);
}

TEST_F(HandoverTest, KnowsWhenExecveatExecutesADescriptor) {
  EXPECT_TRUE(names_descriptor("", AT_EMPTY_PATH));
  EXPECT_FALSE(names_descriptor("", 0));
  EXPECT_FALSE(names_descriptor("program", AT_EMPTY_PATH));
  EXPECT_FALSE(names_descriptor(nullptr, AT_EMPTY_PATH));
}

}  // namespace
}  // namespace unfreed::hook
