#include "ledger/library_part.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "support/ledger_builder.h"
#include "support/scratch_folder.h"

namespace unfreed::ledger {
namespace {

using namespace std::string_view_literals;
using test::LedgerBuilder;

/// A tracer's ledger and that of the library in the same process.
class LibraryPart : public test::ScratchFolder {
 protected:
  LibraryPart() {
    tracers_.writer().cover(Kind::fd, Coverage::exact);
    tracers_.writer().cover(Kind::heap, Coverage::unavailable, "only calls");
    tracers_.writer().cover(Kind::thread, Coverage::partial, "joins are not seen");
    library_.writer().cover(Kind::heap, Coverage::sampled, "one in ten");
    name_hooks(tracers_, "openat\0clone"sv);
    name_hooks(library_, "malloc\0pthread_create"sv);
    uint32_t module = tracers_.module("/bin/program");
    fd_site_ = tracers_.site(Kind::fd, 0, tracers_.stack({{module, 1}, {module, 2}}));
    tracers_.table_fd(5, FdOrigin::acquired, fd_site_);
  }

  static void name_hooks(LedgerBuilder& builder, std::string_view two) {
    ledger::Composer(builder.writer()).name_hooks(two, 2);
  }

  void thread_started(LedgerBuilder& builder, uint16_t hook) {
    uint32_t site = builder.site(Kind::thread, hook, builder.stack({{builder.module("/bin/program"), 7}}));
    Composer(builder.writer()).add_thread(77, ThreadState::running, site, 1);
  }

  const View& joined() {
    tracers_.save(path("ledger"));
    EXPECT_FALSE(copy_.load(path("ledger").c_str()));
    EXPECT_TRUE(add_library_part(copy_, library_.view()));
    return copy_.view();
  }

  std::vector<uint32_t> sites_of(Kind kind) const {
    std::vector<uint32_t> found;
    for (uint32_t at = 1; at < copy_.view().site_count(); ++at)
      if (copy_.view().site(at)->kind == static_cast<uint8_t>(kind)) found.push_back(at);
    return found;
  }

  std::vector<std::string> hooks() const {
    std::vector<std::string> names;
    const Header& header = copy_.view().header();
    copy_.view().each_text(header.hook_names, header.hook_count,
                           [&](std::string_view name) { names.emplace_back(name); });
    return names;
  }

  Coverage coverage(Kind kind) const {
    return static_cast<Coverage>(copy_.view().header().coverage[static_cast<size_t>(kind)]);
  }

  LedgerBuilder tracers_, library_;
  uint32_t fd_site_ = 0;
  Copy copy_;
};

TEST_F(LibraryPart, CallSitesKeepTheirStacksAndCounts) {
  library_.module("/lib/other.so");
  uint32_t module = library_.module("/lib/leaks.so");
  uint32_t site = library_.site(Kind::heap, 0, library_.stack({{module, 30, kNodeExactPc}, {module, 40}}));
  library_.blocks(site, 4, 1, 400, 100);
  library_.chunk(site).cells[site % kChunkCells].acquired = 2;  // by a thread that runs
  const View& view = joined();
  std::vector<uint32_t> sites = sites_of(Kind::heap);
  ASSERT_EQ(sites.size(), 1u);
  std::vector<Counts> counts(view.site_count());
  view.sum_counts(counts);
  EXPECT_EQ(counts[sites[0]].acquired, 6u);
  EXPECT_EQ(counts[sites[0]].released_bytes, 100u);
  EXPECT_EQ(hooks()[view.site(sites[0])->hook], "malloc");
  const Node* nodes[4];
  ASSERT_EQ(view.stack(view.site(sites[0])->node, nodes), 2u);
  EXPECT_EQ(view.text(view.module(nodes[0]->module & kNodeModuleMask)->path), "/lib/leaks.so");
  EXPECT_TRUE(nodes[0]->module & kNodeExactPc);
  EXPECT_EQ(nodes[1]->offset, 40u);
  EXPECT_EQ(coverage(Kind::heap), Coverage::sampled);
  EXPECT_EQ(view.text(view.header().coverage_reason[static_cast<size_t>(Kind::heap)]), "one in ten");
}

TEST_F(LibraryPart, WhatTheTracerHasStays) {
  const View& view = joined();
  EXPECT_EQ(fd_site(view.fd(5)->word), fd_site_);
  EXPECT_EQ(hooks()[view.site(fd_site_)->hook], "openat");
  const Node* nodes[4];
  EXPECT_EQ(view.stack(view.site(fd_site_)->node, nodes), 2u);
  EXPECT_EQ(coverage(Kind::fd), Coverage::exact);
  EXPECT_TRUE(view.header().flags & kHeaderFlagJoined);
}

TEST_F(LibraryPart, HandlesHaveTheirSites) {
  library_.site(Kind::heap, 0, 0);
  uint32_t site = library_.site(Kind::timer, 0, library_.stack({{library_.module("/bin/program"), 9}}));
  uint64_t index = 0;
  auto* record = library_.writer().append<HandleRecord>(SectionId::handles, index);
  record->word = handle_word(Kind::timer, site, 3);
  const View& view = joined();
  ASSERT_EQ(view.handle_count(), 1u);
  uint64_t word = view.handle(0)->word;
  EXPECT_EQ(handle_serial(word), 3u);
  EXPECT_EQ(sites_of(Kind::timer), std::vector<uint32_t>{handle_site(word)});
}

TEST_F(LibraryPart, ThreadsAreTheLibrarysIfItHasSeenAll) {
  thread_started(tracers_, 1);
  thread_started(library_, 1);
  const View& view = joined();
  EXPECT_EQ(coverage(Kind::thread), Coverage::exact);
  ASSERT_EQ(view.thread_count(), 1u);
  EXPECT_EQ(sites_of(Kind::thread), std::vector<uint32_t>{view.thread(0)->site});
  EXPECT_EQ(hooks()[view.site(view.thread(0)->site)->hook], "pthread_create");
}

TEST_F(LibraryPart, ThreadsStayTheTracersIfItHasSeenMore) {
  thread_started(tracers_, 1);
  thread_started(tracers_, 1);
  thread_started(library_, 1);
  const View& view = joined();
  EXPECT_EQ(coverage(Kind::thread), Coverage::partial);
  ASSERT_EQ(view.thread_count(), 2u);
  EXPECT_EQ(hooks()[view.site(view.thread(0)->site)->hook], "clone");
  EXPECT_EQ(sites_of(Kind::thread), std::vector<uint32_t>({view.thread(0)->site, view.thread(1)->site}))
      << "nothing is counted twice";
}

TEST_F(LibraryPart, ThreadsStayTheTracersIfTheLibraryMayHaveMissedSome) {
  thread_started(tracers_, 1);
  thread_started(library_, 1);
  for (Coverage none : {Coverage::off, Coverage::unavailable}) {
    library_.writer().cover(Kind::thread, none, "they are not seen");
    joined();
    EXPECT_EQ(coverage(Kind::thread), Coverage::partial);
  }
  library_.writer().cover(Kind::thread, Coverage::partial, "some may bypass it");
  library_.writer().drop(Dropped::threads_full);
  joined();
  EXPECT_EQ(coverage(Kind::thread), Coverage::partial);
  library_.header().dropped[static_cast<size_t>(Dropped::threads_full)] = 0;
  library_.header().kinds_tracked &= ~(1u << static_cast<unsigned>(Kind::thread));
  joined();
  EXPECT_EQ(coverage(Kind::thread), Coverage::partial);
  library_.header().kinds_tracked |= 1u << static_cast<unsigned>(Kind::thread);
  joined();
  EXPECT_EQ(coverage(Kind::thread), Coverage::exact);
}

TEST_F(LibraryPart, CountsThatNeverSettleAreSaid) {
  library_.blocks(library_.site(Kind::heap, 0, 0), 4, 1, 400, 100);
  std::vector<Counts> counts(8);
  EXPECT_TRUE(joined().sum_counts(counts));
  library_.header().fold_sequence = 1;
  EXPECT_FALSE(joined().sum_counts(counts));
}

TEST_F(LibraryPart, AForgedHookIsNoneOfTheTracers) {
  uint32_t site = library_.site(Kind::heap, UINT16_MAX, 0);
  library_.header().hook_count = UINT32_MAX;
  const View& view = joined();
  EXPECT_EQ(hooks(), std::vector<std::string>({"openat", "clone", "malloc", "pthread_create"}));
  ASSERT_EQ(sites_of(Kind::heap).size(), 1u) << site;
  EXPECT_GE(view.site(sites_of(Kind::heap)[0])->hook, view.header().hook_count);
}

TEST_F(LibraryPart, HooksWithoutANameKeepTheOthersPlaces) {
  name_hooks(library_, "\0malloc"sv);
  uint32_t site = library_.site(Kind::heap, 1, 0);
  const View& view = joined();
  ASSERT_EQ(sites_of(Kind::heap).size(), 1u) << site;
  EXPECT_EQ(hooks()[view.site(sites_of(Kind::heap)[0])->hook], "malloc");
}

TEST_F(LibraryPart, TextWithoutAnEndEndsWithTheTable) {
  uint32_t module = library_.module("/lib/leaks.so");
  library_.site(Kind::heap, 0, library_.stack({{module, 30}}));
  StringRef path = library_.view().module(module)->path;
  library_.writer().section(SectionId::strings).count = path + "/lib/leaks.so"sv.size();
  const View& view = joined();
  const Node* nodes[1];
  ASSERT_EQ(view.stack(view.site(sites_of(Kind::heap)[0])->node, nodes), 1u);
  EXPECT_EQ(view.text(view.module(nodes[0]->module)->path), "/lib/leaks.so");
}

TEST_F(LibraryPart, ReferencesBeyondItsTablesAreNone) {
  uint32_t site = library_.site(Kind::heap, 0, 0);
  library_.writer().at<Site>(SectionId::sites, site)->node = UINT32_MAX;  // by wrapping round, the tracer's first
  const View& view = joined();
  EXPECT_EQ(view.site(sites_of(Kind::heap)[0])->node, 0u);
}

TEST_F(LibraryPart, WhatIsLostMakesItsKindsUnavailable) {
  tracers_.header().kinds_tracked = 0xff;
  tracers_.writer().cover(Kind::heap, Coverage::exact);  // as of a fork child of a process with the library
  tracers_.save(path("ledger"));
  ASSERT_FALSE(copy_.load(path("ledger").c_str()));
  copy_.writer().header().flags |= kHeaderFlagJoined;
  lose_library_part(copy_, "it is gone");
  EXPECT_EQ(coverage(Kind::heap), Coverage::unavailable);
  EXPECT_EQ(coverage(Kind::timer), Coverage::unavailable);
  EXPECT_EQ(coverage(Kind::fd), Coverage::exact);
  EXPECT_EQ(coverage(Kind::thread), Coverage::partial);
  EXPECT_EQ(copy_.view().text(copy_.view().header().coverage_reason[static_cast<size_t>(Kind::heap)]),
            "what the library has recorded in it is missing: it is gone");
  EXPECT_FALSE(copy_.view().header().flags & kHeaderFlagJoined);
}

}  // namespace
}  // namespace unfreed::ledger
