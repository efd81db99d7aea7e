/**
 * @file catch2.h
 * @brief Catch2, versions 2 and 3: the test case that leaks fails. With version 3 include it in one source file of the
 * test program, after catch_amalgamated.hpp if you use that; with version 2 in the one that defines CATCH_CONFIG_MAIN
 * or CATCH_CONFIG_RUNNER.
 *
 * A test case fails if one of its runs (one for each path through its sections) leaves descriptors, threads, children,
 * timers or shared memory behind, or loses heap blocks (unfreed::test_kinds()). A run that has failed is not looked
 * at: it may have had no chance to release anything. Without the preloaded runtime nothing happens.
 */
#ifndef UNFREED_CATCH2_H
#define UNFREED_CATCH2_H

#if defined(CATCH_AMALGAMATED_HPP_INCLUDED)
#define UNFREED_CATCH2_BASE ::Catch::EventListenerBase
#elif defined(__has_include) && __has_include(<catch2/reporters/catch_reporter_event_listener.hpp>)
#include <catch2/catch_test_macros.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>
#define UNFREED_CATCH2_BASE ::Catch::EventListenerBase
#else
#include <catch2/catch.hpp>
#define UNFREED_CATCH2_BASE ::Catch::TestEventListenerBase
#endif
#include <unfreed/test_leaks.h>

#include <cstdint>
#include <list>

namespace unfreed {

/**
 * Fails within the end of a run's outermost section: the last moment at which an assertion still counts for the test
 * case, and every reporter still knows the section that it belongs to.
 */
class Catch2Listener : public UNFREED_CATCH2_BASE {
 public:
  using Base = UNFREED_CATCH2_BASE;
  using Base::Base;

  void sectionStarting(const ::Catch::SectionInfo& section) override {
    Base::sectionStarting(section);
    if (depth_++ == 0) leaks_ = TestLeaks();
  }
  void sectionEnded(const ::Catch::SectionStats& stats) override {
    if (--depth_ == 0 && stats.assertions.failed == 0) {
      std::uint64_t failed = 0;
      for (const TestLeak& leak : leaks_.leaks()) {
        fail(leak, stats.sectionInfo.lineInfo);
        ++failed;
      }
      // The section's numbers are from before. Version 3's JUnit leaves out sections that have no assertions. (Catch
      // passes all reporters the same object, which is not const itself.)
      const_cast<::Catch::Counts&>(stats.assertions).failed += failed;
    }
    Base::sectionEnded(stats);
  }

 private:
  static void fail(const TestLeak& leak, const ::Catch::SourceLineInfo& test) {
    // Reporters keep pointers to the names of files until the end.
    static std::list<std::string> files;
    files.push_back(leak.file);
    ::Catch::SourceLineInfo place = leak.file.empty() ? test : ::Catch::SourceLineInfo(files.back().c_str(), leak.line);
    ::Catch::AssertionHandler handler(::Catch::StringRef("the test leaks", 14), place, ::Catch::StringRef(),
                                      ::Catch::ResultDisposition::ContinueOnFailure);
    handler.handleMessage(::Catch::ResultWas::ExplicitFailure, "the test leaks " + leak.text);
    handler.complete();
  }

  TestLeaks leaks_;
  int depth_ = 0;
};

}  // namespace unfreed

using UnfreedCatch2Listener = unfreed::Catch2Listener;
CATCH_REGISTER_LISTENER(UnfreedCatch2Listener)

#undef UNFREED_CATCH2_BASE
#endif  // UNFREED_CATCH2_H
