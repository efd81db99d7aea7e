// What reports hold as samples, for profilers: a stack with numbers and labels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "render/renderers.h"

namespace unfreed::render {

/// What one stack holds for one thread and target. Members that are not known are empty.
struct Sample {
  const report::Report* report = nullptr;
  const report::Site* site = nullptr;  ///< nullptr: of a descriptor that was opened through no hooked function
  ledger::Kind kind = ledger::Kind::fd;
  report::Totals values;
  int64_t thread = 0;
  report::Text target;
  report::Text test;               ///< of list_samples_by_test()
  bool is_of_other_tests = false;  ///< ... of tests that the report does not list

  report::StackId stack() const { return site ? site->stack : 0; }
};

/// All that counts (what suppressions cover does not), so that samples add up to the totals that rules use. Where every
/// object is listed, a site is split by thread and target; what is not listed is a sample without them.
std::vector<Sample> list_samples(const report::Report& report);

/// What sites hold, each split by the test that acquired it: what is live or running, and its bytes.
std::vector<Sample> list_samples_by_test(const report::Report& report);

/// The numbers that add up over call sites, in the order of kinds and counters: those of kinds that any report has.
std::vector<Measure> list_measures(Reports reports);
/// "fd", "heap.lost_bytes": as in rules.
std::string name_of(Measure measure);
/// Is it a number of bytes?
bool is_bytes(report::Counter counter);

/// The one that people want to see first: what is held of a kind that programs give back, else lost or live heap.
Measure first_measure(Reports reports);

/// Reads a name as above. False: there is none.
bool parse_measure(std::string_view text, Measure& out);

}  // namespace unfreed::render
