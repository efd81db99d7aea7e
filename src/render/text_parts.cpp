#include "render/text_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "render/frames.h"
#include "render/function_names.h"
#include "render/quantities.h"

namespace unfreed::render {

using report::ExecLeak;
using report::Misuse;
using report::Report;
using report::RuleOutcome;
using report::Thread;
using report::Trigger;

namespace {

constexpr size_t kMostThreadsAtEnd = 3;
constexpr size_t kMostThreads = 8;
constexpr size_t kMostMisuses = 3;
constexpr size_t kMostExecLeaks = 3;

std::string render_frame(const ShownFrame& shown, const TextOptions& options) {
  const StackFrame& frame = *shown.frame;
  std::string name = printable(fit_function(frame.function));
  std::string place;
  if (!frame.file.empty())
    place = frame.line ? fmt::format("{}:{}", options.paths.shorten(frame.file), frame.line)
                       : options.paths.shorten(frame.file);
  else if (!frame.module.empty())
    place = fmt::format("{}+{:#x}", printable(base_name(frame.module)), frame.offset);
  if (name.empty())
    name = place.empty() ? "?" : place;
  else if (!place.empty())
    place = " " + tinted("(" + place + ")", Tint::faint, options.colour);
  if (name == place) place.clear();
  return fmt::format("{}{}{}", shown.after_gap ? "… " : "", name, place);
}

/// "7 (/var/log/app.log), 8 (tcp …)"
std::string describe_descriptors(const Thread& thread, const TextOptions& options) {
  constexpr size_t kMost = 3;
  std::vector<std::string> parts;
  for (const report::Object& one : thread.holds.descriptors) {
    if (parts.size() == kMost) break;
    std::string target = options.paths.shorten(one.target);
    parts.push_back(target.empty() ? fmt::format("{}", one.fd.value_or(-1))
                                   : fmt::format("{} ({})", one.fd.value_or(-1), target));
  }
  return join(parts, ", ") + (thread.holds.fd > parts.size() ? ", …" : "");
}

std::string describe_holdings(const Thread& thread, const TextOptions& options) {
  std::vector<std::string> parts;
  if (thread.thread_class == "main") return {};  // everybody's
  if (thread.holds.fd)
    parts.push_back(
        fmt::format("{}: {}", write_number_of(thread.holds.fd, "descriptor"), describe_descriptors(thread, options)));
  constexpr int64_t kWorthTelling = 1 << 16;
  if (thread.holds.heap_bytes >= kWorthTelling)
    parts.push_back(write_bytes(static_cast<uint64_t>(thread.holds.heap_bytes)) + " of heap");
  return parts.empty() ? "" : "; holds " + join(parts, "; and ");
}

std::string describe_state(const Thread& thread) {
  if (thread.state == "finished") return "ended, never joined";
  std::string how = printable(thread.thread_class) + ", ";
  if (thread.kernel_state == "R") return how + "running";
  if (thread.kernel_state == "T" || thread.kernel_state == "t") return how + "stopped";
  return how + (thread.kernel_state == "S" || thread.kernel_state == "D" ? "waiting" : "still there");
}

bool is_over(const Report& report) { return report.trigger == Trigger::exit || report.trigger == Trigger::post_mortem; }

/// At the end only those that keep something; before it, where each is blocked.
bool is_worth_showing(const Report& report, const Thread& thread) {
  if (thread.thread_class == "ignored") return false;
  if (is_over(report)) return thread.holds.fd > 0 && thread.thread_class != "main";
  return thread.state == "running";
}

std::string render_call(std::string_view title, const std::optional<report::ClosingCall>& call, const Report& report,
                        const TextOptions& options) {
  if (!call) return {};
  return fmt::format("    {} by {} in thread {}\n{}", title, printable(call->function), call->thread,
                     render_frames(report, call->stack, options, "        "));
}

std::string describe_misuse(const Misuse& misuse) {
  std::string owner = misuse.owner == "directory_stream" ? "directory stream" : "stream";
  if (misuse.type == "double_close") return fmt::format("descriptor {} was closed twice", misuse.fd);
  if (misuse.type == "not_open") return fmt::format("descriptor {} was closed, but was not open", misuse.fd);
  if (misuse.type == "behind_owner")
    return fmt::format("descriptor {} was closed by its number, though a {} owns it", misuse.fd, owner);
  if (misuse.type == "stale_owner")
    return fmt::format("a stream closed descriptor {}, which had been handed out anew", misuse.fd);
  return fmt::format("descriptor {}: {}", misuse.fd, printable(misuse.type));
}

}  // namespace

std::string tinted(std::string_view text, Tint tint, bool colour) {
  if (!colour) return std::string(text);
  static constexpr const char* kCodes[] = {"1", "1;31", "32", "33", "2"};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<size_t>(tint)], text);
}

std::string join(const std::vector<std::string>& parts, std::string_view between) {
  return fmt::format("{}", fmt::join(parts, between));
}

std::string render_frames(const Report& report, report::StackId stack, const TextOptions& options,
                          std::string_view indent) {
  std::string text;
  std::vector<StackFrame> frames = list_frames(report, stack);
  for (const ShownFrame& shown : choose_frames(frames, report.process.exe, options.most_frames))
    text += fmt::format("{}{}\n", indent, render_frame(shown, options));
  return text;
}

std::string render_threads(const Report& report, const TextOptions& options) {
  std::string text;
  size_t shown = 0;
  size_t left_out = 0;
  for (const Thread& thread : report.threads) {
    if (!is_worth_showing(report, thread)) continue;
    if (shown++ >= (is_over(report) ? kMostThreadsAtEnd : kMostThreads)) {
      ++left_out;
      continue;
    }
    std::string name = thread.name.empty() ? "" : fmt::format(" \"{}\"", printable(thread.name));
    text += fmt::format("\n  {} ({}){}\n",
                        tinted(fmt::format("thread {}{}", thread.thread, name), Tint::bold, options.colour),
                        describe_state(thread), describe_holdings(thread, options));
    std::string_view start = function_of(report, thread.start_routine);
    if (thread.stack && *thread.stack)
      text += "    blocked at\n" + render_frames(report, *thread.stack, options, "        ");
    else if (!start.empty())
      text += fmt::format("    started in {}\n", printable(start));
  }
  if (left_out) text += fmt::format("\n  and {} more\n", write_number_of(left_out, "thread"));
  return text;
}

std::string render_misuse(const Report& report, const TextOptions& options) {
  std::string text;
  size_t left_out = 0;
  size_t shown = 0;
  for (const Misuse& misuse : report.misuse) {
    if (!misuse.suppressed_by.empty()) continue;
    if (shown++ >= kMostMisuses) {
      ++left_out;
      continue;
    }
    std::string times = misuse.count > 1 ? fmt::format(" ({} times)", write_count(misuse.count)) : "";
    text += fmt::format("\n  {}{}\n", tinted(describe_misuse(misuse), Tint::bold, options.colour), times);
    text += render_call("closed", misuse.closed, report, options);
    text += render_call(misuse.type == "stale_owner" ? "closed by its number before" : "first closed",
                        misuse.first_closed, report, options);
    text += render_call("opened", misuse.opened, report, options);
  }
  if (left_out) text += fmt::format("\n  and {} more\n", write_number_of(left_out, "invalid close"));
  return text;
}

std::string render_exec_leaks(const Report& report, const TextOptions& options) {
  std::string text;
  size_t left_out = 0;
  size_t shown = 0;
  // Without a rule about it, it is in the report only: many programs mean it.
  bool asked = std::any_of(report.rules.begin(), report.rules.end(),
                           [](const RuleOutcome& rule) { return rule.rule.starts_with("inherited_by_child"); });
  for (const ExecLeak& leak : report.exec_leaks) {
    if (!asked || !leak.suppressed_by.empty()) continue;
    if (shown++ >= kMostExecLeaks) {
      ++left_out;
      continue;
    }
    std::string times = leak.count > 1 ? fmt::format(" ({} times)", write_count(leak.count)) : "";
    std::string heading = fmt::format("descriptor {} was inherited by {}", leak.fd,
                                      leak.program.empty() ? "another program" : options.paths.shorten(leak.program));
    text += fmt::format("\n  {} by {}{}\n    opened by {} without close-on-exec\n{}",
                        tinted(heading, Tint::bold, options.colour), printable(leak.started_by), times,
                        printable(leak.acquired_by), render_frames(report, leak.stack, options, "        "));
  }
  if (left_out) text += fmt::format("\n  and {} more\n", write_number_of(left_out, "place"));
  return text;
}

}  // namespace unfreed::render
