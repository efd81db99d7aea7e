// Identifies a file by its first bytes: a report may replace a report, and nothing else. Also reads which process the
// report is about, since several processes may write to one name.
// Allocation-free, async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::report {

enum class Content : uint8_t {
  nothing,  ///< an empty file, as mktemp makes them
  report,   ///< made by this program, in any format
  foreign,  ///< anything else
};

struct ReportHead {
  Content content = Content::foreign;
  // Of the process that a JSON report is about, as written; 0 and "" where they are not among the bytes given.
  int pid = 0;
  std::string_view started;
  std::string_view run;
};

/// The part of a file's start that is used.
inline constexpr size_t kHeadBytes = 64 * 1024;

ReportHead read_head(std::string_view bytes);

// How what this program writes in the formats of others begins (src/render). Stacks that are folded have no room for
// that: their first frame is a kind's name.

/// The comment in a compressed profile's header.
inline constexpr std::string_view kProfileComment = "made by unfreed";
inline constexpr std::string_view kSarifStart =
    R"({
 "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
 "version": "2.1.0",
 "properties": {"made_by": "unfreed"},)";
inline constexpr std::string_view kJunitStart = R"(<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="unfreed")";
inline constexpr std::string_view kMarkdownStart = "<!-- made by unfreed -->\n";
inline constexpr std::string_view kBaselineStart = "# unfreed baseline\n";
inline constexpr std::string_view kCsvStart = "process,pid,kind";
inline constexpr std::string_view kCodeQualityStart = R"([
{"check_name":"unfreed.)";
inline constexpr std::string_view kNoCodeQuality = "[\n]\n";
inline constexpr std::string_view kPerfettoStart =
    R"({"displayTimeUnit": "ms", "otherData": {"made_by": "unfreed"},
"traceEvents": [
)";
inline constexpr std::string_view kOpenMetricsStart = R"(# TYPE unfreed_report_complete gauge
# HELP unfreed_report_complete Whether everything could be seen, by process.
)";

/// The first bytes of a page of HTML.
inline constexpr std::string_view kPageStart =
    R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="unfreed">
)";

}  // namespace unfreed::report
