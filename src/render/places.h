// Sites that a person sees as one place, and their stacks frame by frame.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/report.h"

namespace unfreed::render {

/// A frame of a stack with everything that is known of it; "" and 0 where nothing is.
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

/// Sites of the same kind, acquiring function and signature made one, their numbers added. Suppressed sites stay apart
/// from those that are not.
struct Place {
  const report::Site* site = nullptr;  ///< the first of them
  const report::Report* report = nullptr;
  uint64_t live = 0;
  uint64_t running = 0;
  uint64_t bytes = 0;
  uint64_t total = 0;
  uint64_t peak = 0;
  bool truncated = false;
  std::vector<const report::Object*> objects;

  /// Something of the program's own that is held and counts.
  bool counts() const { return site->counts() && site->grade != report::Grade::informational && live > 0; }
  std::vector<StackFrame> stack() const { return list_frames(*report, site->stack); }
};
/// In the report's order. Valid as long as the report.
std::vector<Place> list_places(const report::Report& report);

}  // namespace unfreed::render
