// Call sites, and their stacks frame by frame.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/report.h"

namespace unfreed::render {

/// A frame of a stack with everything known of it; "" and 0 where nothing is.
struct StackFrame {
  report::Text function;
  report::Text file;
  uint32_t line = 0;
  report::Text module;
  uint64_t offset = 0;
  bool inlined = false;
};

/// Innermost first. Valid as long as the report.
std::vector<StackFrame> list_frames(const report::Report& report, report::StackId stack);
/// The function of a call, without those inlined into it; "" unknown.
report::Text function_of(const report::Report& report, report::CallId call);

/// A call site, with the data that a summary needs.
struct Place : report::Place {
  const report::Site* site = nullptr;  ///< the worst of it
  const report::Report* report = nullptr;
  std::vector<const report::Object*> objects;

  /// Does it hold anything of the program's own that counts, or has it lost that?
  bool counts() const {
    return site->counts() && site->grade != report::Grade::informational && (live > 0 || closed_by_gc > 0);
  }
  std::vector<StackFrame> stack() const { return list_frames(*report, site->stack); }
};
/// What the state of what it holds says, each thing once. Valid as long as the report.
std::vector<const report::Hint*> hints_of(const Place& place);

/// In the report's order. Valid as long as the report.
std::vector<Place> list_places(const report::Report& report);

}  // namespace unfreed::render
