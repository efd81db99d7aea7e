// Ledgers as the command finds them in a folder.
#include "cli/ledger_files.h"

#include <gtest/gtest.h>

#include "ledger/copy.h"
#include "ledger/library_part.h"
#include "support/ledger_builder.h"
#include "support/ledger_folder.h"

namespace unfreed::cli {
namespace {

using ledger::State;

class LedgerFiles : public test::LedgerFolderTest {
 protected:
  std::vector<std::shared_ptr<const LedgerFolder>> folders(bool is_for_others = false) const {
    auto folder = std::make_shared<LedgerFolder>();
    folder->fd = base::UniqueFd(base::open_file(folder_.c_str(), O_PATH | O_DIRECTORY));
    folder->path = folder_.string();
    folder->is_for_others = is_for_others;
    return {folder};
  }
  LedgerFile file(const std::string& name, bool is_for_others = false) const {
    LedgerFile file{folders(is_for_others)[0], {}};
    EXPECT_TRUE(ledger::parse_file_name(name, file.name)) << name;
    return file;
  }
};

TEST_F(LedgerFiles, AreListedByProcessAndImage) {
  for (const char* name : {"20-7-1", "20-7-0.done", "5-7-0", "5-8-0", "else", "launcher"}) write(name, "");
  std::vector<std::string> names;
  for (const LedgerFile& one : list_ledgers(folders())) names.push_back(one.path().substr(folder_.string().size() + 1));
  EXPECT_EQ(names, std::vector<std::string>({"5-7-0", "20-7-0.done", "20-7-1", "5-8-0"}));
}

TEST_F(LedgerFiles, AreGivenTheirLastNameOnce) {
  write("5-7-0", "");
  LedgerFile one = file("5-7-0");
  LedgerFile again = one;
  finish_name(one);
  EXPECT_TRUE(one.name.done);
  EXPECT_TRUE(exists("5-7-0.done"));
  finish_name(again);  // which the process has done meanwhile
  EXPECT_EQ(again.path(), one.path());
}

TEST_F(LedgerFiles, AreRemovedOnlyWhereTheyWereNotBegun) {
  write("1-7-0", "");
  write("2-7-0", std::string(5000, '\0'));
  write("3-7-0", "U");
  write_ledger("4-7-0", getpid(), State::starting);
  for (const char* name : {"1-7-0", "2-7-0", "3-7-0", "4-7-0", "5-7-0"}) remove_unbegun(file(name));
  EXPECT_FALSE(exists("1-7-0"));
  EXPECT_FALSE(exists("2-7-0"));
  EXPECT_TRUE(exists("3-7-0"));
  EXPECT_TRUE(exists("4-7-0"));
}

TEST_F(LedgerFiles, OnlyOnesOwnAreBelieved) {
  write_ledger("1-7-0", 1, State::live);
  EXPECT_TRUE(read_ledger_facts(file("1-7-0")));
  std::filesystem::create_symlink("1-7-0", folder_ / "2-7-0");
  EXPECT_FALSE(read_ledger_facts(file("2-7-0")));
  ASSERT_EQ(mkfifo(path("3-7-0").c_str(), 0600), 0);
  EXPECT_FALSE(read_ledger_facts(file("3-7-0")));
  if (geteuid() != 0) return;
  ASSERT_EQ(chown(path("1-7-0").c_str(), 65534, 65534), 0);
  EXPECT_FALSE(read_ledger_facts(file("1-7-0")));
  std::optional<LedgerFacts> facts = read_ledger_facts(file("1-7-0", true));
  ASSERT_TRUE(facts) << "in a folder for others it may be";
  EXPECT_EQ(facts->user, 65534u);
}

TEST_F(LedgerFiles, AreReadFromTheFolderThatWasOpened) {
  write_ledger("1-7-0", 1, State::live);
  LedgerFile one = file("1-7-0");
  // Somebody puts another folder in its place.
  std::filesystem::path moved = folder_.string() + ".moved";
  std::filesystem::rename(folder_, moved);
  std::filesystem::create_directory(folder_);
  write_ledger("1-7-0", 1, State::ended);
  std::optional<LedgerFacts> facts = read_ledger_facts(one);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->state, State::live);
  remove_ledger(one);
  EXPECT_TRUE(exists("1-7-0"));
  std::filesystem::remove_all(moved);
}

TEST_F(LedgerFiles, TheLaunchersEndIsWrittenIntoThem) {
  write_ledger("1-7-0", 1, State::live);
  int opened = open(path("1-7-0").c_str(), O_RDWR);
  void* place = mmap(nullptr, sizeof(ledger::Header), PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
  ASSERT_NE(place, MAP_FAILED);
  auto& header = *static_cast<ledger::Header*>(place);
  EXPECT_EQ(header.launcher_gone, 0u);
  say_launcher_is_gone(file("1-7-0"));
  EXPECT_EQ(header.launcher_gone, 1u);
  munmap(place, sizeof(ledger::Header));
  // Cut short, it is no ledger, and no harm.
  EXPECT_EQ(ftruncate(opened, 0), 0);
  close(opened);
  say_launcher_is_gone(file("1-7-0"));
}

TEST_F(LedgerFiles, AProcessIsThereWhileItHasTheNumberOrTheFile) {
  write_ledger(name_of(getpid()), getpid(), State::live);
  int dead = dead_pid();
  write_ledger(name_of(dead), dead, State::live);
  auto has = [this](const std::string& name) { return has_process(file(name), read_ledger_facts(file(name))); };
  EXPECT_TRUE(has(name_of(getpid())));
  EXPECT_FALSE(has(name_of(dead)));
  // In another pid namespace its number says nothing.
  std::string elsewhere = name_of(getpid(), 0, false, 4711);
  write_ledger(elsewhere, getpid(), State::live);
  EXPECT_FALSE(has(elsewhere));
  map_elsewhere(elsewhere);
  EXPECT_TRUE(has(elsewhere));
}

/// Of a process that is traced, and has the library in it.
class LibraryParts : public LedgerFiles {
 protected:
  static constexpr uint64_t kTicks = 5;

  LibraryParts() {
    tracers_.header().pid = library_.header().pid = 20;
    tracers_.header().process_start_ticks = library_.header().process_start_ticks = kTicks;
    tracers_.header().flags = ledger::kHeaderFlagTraced | ledger::kHeaderFlagHasLibraryPart;
    // As a fork child has it from its parent.
    tracers_.writer().cover(ledger::Kind::heap, ledger::Coverage::exact);
    library_.writer().cover(ledger::Kind::heap, ledger::Coverage::sampled, "one in ten");
  }

  /// How the heap is covered after all.
  std::string heap() {
    tracers_.save(path("20-7-0.done"));
    ledger::Copy copy;
    EXPECT_FALSE(copy.load(path("20-7-0.done").c_str()));
    add_library_part(copy, file("20-7-0.done"));
    const ledger::Header& header = copy.view().header();
    constexpr auto kHeap = static_cast<size_t>(ledger::Kind::heap);
    auto coverage = static_cast<ledger::Coverage>(header.coverage[kHeap]);
    std::string reason(copy.view().text(header.coverage_reason[kHeap]));
    return coverage == ledger::Coverage::exact         ? "exact"
           : coverage == ledger::Coverage::sampled     ? "sampled"
           : coverage == ledger::Coverage::unavailable ? "unavailable: " + reason
                                                       : "?";
  }

  test::LedgerBuilder tracers_{test::LedgerSize::compact}, library_{test::LedgerSize::compact};
};

TEST_F(LibraryParts, AreAddedWhateverTheNumberOfTheirImage) {
  library_.save(path("20-7-9.library"));
  EXPECT_EQ(heap(), "sampled");
}

TEST_F(LibraryParts, ThatAreMissingLeaveNothingExact) {
  EXPECT_EQ(heap(), "unavailable: what the library has recorded in it is missing: its ledger is not there");
  tracers_.header().flags = ledger::kHeaderFlagTraced;  // the library in it had nothing to record
  EXPECT_EQ(heap(), "exact");
}

TEST_F(LibraryParts, ThatAreDamagedLeaveNothingExact) {
  tracers_.header().flags = ledger::kHeaderFlagTraced;
  library_.save(path("20-7-0.library"));
  std::filesystem::resize_file(path("20-7-0.library"), 3 * ledger::kPageBytes);
  EXPECT_TRUE(heap().starts_with("unavailable: ")) << heap();
  write("20-7-0.library", "");
  EXPECT_EQ(heap(),
            "unavailable: what the library has recorded in it is missing: its ledger: is too short to be a ledger");
  std::filesystem::remove(path("20-7-0.library"));
  std::filesystem::create_symlink("else", path("20-7-0.library"));
  EXPECT_TRUE(heap().starts_with("unavailable: ")) << heap();
}

TEST_F(LibraryParts, OfOtherProcessesWithTheNumberAreLeftAlone) {
  library_.header().process_start_ticks = kTicks + 1;
  library_.save(path("20-7-0.library"));
  EXPECT_EQ(heap(), "unavailable: what the library has recorded in it is missing: its ledger is not there");
  library_.header().process_start_ticks = kTicks;
  library_.save(path("20-7-1.library"));
  remove_ledger(file("20-7-0.done"));
  EXPECT_TRUE(exists("20-7-0.library"));
  EXPECT_FALSE(exists("20-7-1.library"));
}

TEST_F(LibraryParts, AreRemovedAtTheEndIfTheyCompleteNothing) {
  const int gone = 1 << 22;  // beyond all numbers of processes
  for (int pid : {20, gone}) library_.save(path(name_of(pid, 6) + ".library"));
  library_.save(path(name_of(getpid()) + ".library"));
  tracers_.save(path(name_of(20, 0, true)));
  remove_lone_library_parts(folders());
  EXPECT_TRUE(exists(name_of(20, 6) + ".library")) << "it completes a ledger that is kept";
  EXPECT_TRUE(exists(name_of(getpid()) + ".library")) << "it is in use";
  EXPECT_FALSE(exists(name_of(gone, 6) + ".library"));
}

}  // namespace
}  // namespace unfreed::cli
