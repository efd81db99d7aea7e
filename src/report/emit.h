// Writing the parts of a report, one function each, in the order in which they stand in it.
// Internal to this folder. Allocation-free, async-signal-safe if resolver and sink are.
#pragma once

#include <cstdint>
#include <span>

#include "report/evaluate.h"
#include "report/frames.h"
#include "report/graded.h"
#include "report/json_text.h"
#include "report/outer_stacks.h"

namespace unfreed::report {

/// What all parts need.
struct Emission {
  const ReportInput& input;
  const Graded& graded;
  JsonText& json;
  uint64_t now_ns;          ///< CLOCK_MONOTONIC: ages are measured back from here
  std::span<bool> modules;  ///< by index: some frame of the report lies in it
  const OuterStacks& outer;

  const ledger::View& view() const { return *graded.view; }
  uint64_t age_ns(uint64_t since_ns) const { return now_ns > since_ns ? now_ns - since_ns : 0; }
};

void emit_process(Emission& emission);
void emit_coverage(Emission& emission);
void emit_totals(Emission& emission);
/// Sites, and what the stacks of the many have in common.
void emit_sites(Emission& emission);
void emit_descriptors(Emission& emission);
/// Threads that are there and what each of them holds.
void emit_threads(Emission& emission);
/// Children that belong to no site.
void emit_children(Emission& emission);
void emit_misuse(Emission& emission);
/// Descriptors that went along into other programs.
void emit_crossings(Emission& emission);
/// What the report was made for, if that was the want of a resource.
void emit_exhaustion(Emission& emission);
void emit_failures(Emission& emission);
void emit_rules(Emission& emission, std::span<const RuleOutcome> outcomes);
void emit_modules(Emission& emission);

/// `"stack": […]`, or the innermost `most_nodes` of it. Returns true when it had to be cut.
bool emit_stack(Emission& emission, uint32_t leaf, size_t most_nodes = kMaxFrames);
/// One node as one frame object (the physical function, if it is known).
void emit_frame(Emission& emission, const ledger::Node& node);
/// `"target"` and `"flags"` of a descriptor that the kernel listed.
void emit_target(Emission& emission, const GradedFd& fd);

/// Of a ledger::FdOwner; "" for none, and for a number that is none.
std::string_view owner_name(uint32_t kind);

/// Members of an object that stands for a child.
void emit_child(Emission& emission, const GradedChild& child);

/// "EMFILE"; "" for numbers without a name here.
std::string_view error_name(int error);
/// "2024-05-01T12:34:56.123456789Z" into `out` (at least 31 bytes); returns the text.
std::string_view format_time(uint64_t realtime_ns, std::span<char> out);

}  // namespace unfreed::report
