// Call sites as a table: RFC 4180, a line each, the first one with the columns' names.
#include <fmt/format.h>

#include <set>

#include "render/frames.h"
#include "render/places.h"
#include "render/renderers.h"
#include "render/telling_frames.h"
#include "render/text.h"
#include "report/describe.h"
#include "report/report_head.h"

namespace unfreed::render {

using report::Counter;

namespace {

/// The numbers that every kind's call sites may have; 0 where they have none.
constexpr Counter kNumbers[] = {Counter::live,
                                Counter::bytes,
                                Counter::total,
                                Counter::total_bytes,
                                Counter::peak,
                                Counter::running,
                                Counter::lost,
                                Counter::lost_bytes,
                                Counter::indirectly_lost,
                                Counter::indirectly_lost_bytes,
                                Counter::possibly_lost,
                                Counter::possibly_lost_bytes};

/// A text in quotes, as it may hold anything. Spreadsheets would evaluate what begins like a formula.
std::string cell(std::string_view text) {
  std::string out = "\"";
  if (!text.empty() && std::string_view("=+-@").find(text.front()) != std::string_view::npos) out += '\'';
  for (char character : printable(text)) {
    if (character == '"') out += '"';
    out += character;
  }
  return out + '"';
}

/// "main (src/main.c:7) < …", innermost first.
std::string write_stack(const std::vector<StackFrame>& frames) {
  std::string text;
  for (const StackFrame& frame : frames) {
    if (!text.empty()) text += " < ";
    text += name_or_offset(frame);
    if (frame.line) text += fmt::format(" ({}:{})", frame.file, frame.line);
  }
  return text;
}

}  // namespace

std::string render_report_csv(Reports reports, const RenderOptions&) {
  std::string text(report::kCsvStart);
  for (Counter counter : kNumbers) text += fmt::format(",{}", report::row_of(counter).name);
  text += ",grade,acquired_by,function,file,line,module,signature,suppressed_by,targets,stack\r\n";
  for (const report::Report* report : reports) {
    TellingFrames telling(*report, PathShortener("", ""));
    for (const Place& place : list_places(*report)) {
      const report::Process& process = report->process;
      text += fmt::format("{},{},{}", cell(process.exe), process.pid, report::kind_name(place.site->kind));
      for (Counter counter : kNumbers) text += fmt::format(",{}", place.value(counter));
      std::vector<StackFrame> frames = place.stack();
      const std::optional<TellingFrame>& told = telling.of(place.site->stack);
      const StackFrame first = told ? told->frame : StackFrame();
      std::set<report::Text> targets;
      for (const report::Object* object : place.objects)
        if (report::Text target = object->target.empty() ? object->name : object->target; !target.empty())
          targets.insert(target);
      text += fmt::format(",{},{},{},{},{},{},{:016x},{},{},{}\r\n", report::word_of(place.site->grade),
                          cell(place.site->acquired_by), cell(first.function), cell(first.file),
                          first.line ? std::to_string(first.line) : "", cell(first.module), place.site->signature,
                          cell(place.site->suppressed_by), cell(fmt::format("{}", fmt::join(targets, " "))),
                          cell(write_stack(frames)));
    }
  }
  return text;
}

}  // namespace unfreed::render
