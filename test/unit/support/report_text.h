// Reports as tests read them: written by the report core, parsed back with an independent JSON parser.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "evaluate/evaluate.h"
#include "report/json_writer.h"

namespace unfreed::test {

/// What a report comes to.
struct Result {
  bool written = false;
  bool broken = false;
  bool unchecked = false;
  bool complete = false;
  bool holds_something = false;
};

struct Report {
  nlohmann::ordered_json json;
  std::string text;
  Result result;
};

inline report::Sink text_sink(std::string& text) {
  return {&text, [](void* context, std::string_view piece) {
            static_cast<std::string*>(context)->append(piece);
            return true;
          }};
}

/// Evaluates a ledger and writes the report to `sink`.
inline Result write_report(const report::ReportInput& input, const report::Sink& sink,
                           report::StackForm form = report::StackForm::file) {
  base::Arena arena;
  report::Report report;
  report::evaluate(input, arena, report);
  std::vector<char> buffer(report::kJsonBufferBytes);
  bool written = report::write_json(report, form, buffer, sink);
  return {written, report::is_broken(report), report::is_unchecked(report), report.complete,
          report::holds_something(report)};
}

/// Writes a report over `view`; `input` may have anything else set.
inline Report write(const ledger::View& view, report::ReportInput input = {}) {
  Report report;
  input.view = &view;
  if (input.now_monotonic_ns == 0) input.now_monotonic_ns = 1'000'001'000;
  report.result = write_report(input, text_sink(report.text));
  report.json = nlohmann::ordered_json::parse(report.text);  // strict: throws on bad UTF-8 too
  return report;
}

/// Names the node (module m, offset o) "f<o>", in file "/src/m<m>.c" at line o; odd offsets get an inlined frame on
/// top.
inline report::FrameResolver numbered_resolver() {
  return {nullptr, [](void*, const ledger::View&, const ledger::Node& node, void* context,
                      void (*emit)(void*, const report::ResolvedFrame&)) {
            std::string name = "f" + std::to_string(node.offset);
            std::string file = "/src/m" + std::to_string(node.module & ledger::kNodeModuleMask) + ".c";
            auto line = static_cast<uint32_t>(node.offset);
            std::string inner = "inlined_" + name;
            std::string shown = name + "(int)";
            report::ResolvedFrame frame{.function = inner,
                                        .linkage_name = inner,
                                        .file = file,
                                        .line = line,
                                        .inlined = true,
                                        .full_name = {},
                                        .plain_name = inner,
                                        .symbol = {}};
            if (node.offset % 2 == 1) emit(context, frame);
            frame.function = shown;
            frame.linkage_name = frame.plain_name = frame.symbol = name;
            frame.inlined = false;
            emit(context, frame);
          }};
}

}  // namespace unfreed::test
