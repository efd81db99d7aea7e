// Identifies a file by its first bytes: a report may replace a report, and nothing else. Also reads which process the
// report is about, since several processes may write to one name.
// Allocation-free, async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::report {

enum class Content : uint8_t {
  nothing,  ///< an empty file, as mktemp makes them
  report,   ///< JSON, a page, or a text, made by this program
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

/// The first bytes of a page of HTML.
inline constexpr std::string_view kPageStart =
    R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="unfreed">
)";

}  // namespace unfreed::report
