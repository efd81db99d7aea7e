#include "render/text_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

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
constexpr size_t kMostGrowing = 3;

/// The last `columns` of a text, as that is where paths differ.
std::string end_of(const std::string& text, size_t columns) {
  size_t all = columns_of(text);
  if (all <= columns) return text;
  size_t start = 0;
  for (size_t left = all - columns + 1; left; --left) do
      ++start;
    while (start < text.size() && (text[start] & 0xc0) == 0x80);
  return "…" + text.substr(start);
}

}  // namespace

std::string render_frame(const ShownFrame& shown, const TextOptions& options, size_t columns) {
  constexpr size_t kMostForPlace = 70;
  const StackFrame& frame = *shown.frame;
  std::string place;
  if (!frame.file.empty())
    place = frame.line ? fmt::format("{}:{}", options.paths.shorten(frame.file), frame.line)
                       : options.paths.shorten(frame.file);
  else if (!frame.module.empty())
    place = printable(base_name(frame.module)) + (frame.offset ? fmt::format("+{:#x}", frame.offset) : "");
  place = end_of(place, kMostForPlace);
  std::string gap = shown.after_gap ? "… " : "";
  if (frame.function.empty()) return gap + (place.empty() ? "?" : place);
  size_t taken = columns_of(gap) + columns_of(place) + (place.empty() ? 0 : 3);
  std::string name = printable(fit_function(frame.function, std::min(kLongName, columns - taken)));
  // Escaping has made it longer.
  name = cut_to(name, columns - taken);
  if (place.empty() || name == place) return gap + name;
  return gap + name + " " + tinted("(" + place + ")", Tint::faint, options.colour);
}

namespace {

/// "7 (/var/log/app.log), 8 (tcp …)"
std::string describe_descriptors(std::span<const report::Object> descriptors, uint64_t count,
                                 const TextOptions& options) {
  constexpr size_t kMost = 3;
  std::vector<std::string> parts;
  for (const report::Object& one : descriptors) {
    if (parts.size() == kMost) break;
    std::string target = options.paths.shorten(one.target);
    parts.push_back(target.empty() ? fmt::format("{}", one.fd.value_or(-1))
                                   : fmt::format("{} ({})", one.fd.value_or(-1), target));
  }
  return join(parts, ", ") + (count > parts.size() ? ", …" : "");
}

std::string describe_holdings(const Thread& thread, const TextOptions& options) {
  std::vector<std::string> parts;
  if (thread.thread_class == "main") return {};  // everybody's
  if (thread.holds.fd)
    parts.push_back(fmt::format("{}: {}", write_number_of(thread.holds.fd, "descriptor"),
                                describe_descriptors(thread.holds.descriptors.span(), thread.holds.fd, options)));
  constexpr int64_t kWorthTelling = 1 << 16;
  if (thread.holds.heap_bytes >= kWorthTelling)
    parts.push_back(write_bytes(static_cast<uint64_t>(thread.holds.heap_bytes)) + " of heap");
  return parts.empty() ? "" : "; holds " + join(parts, "; and ");
}

}  // namespace

std::string describe_state(const Thread& thread) {
  if (thread.state == "finished") return "ended, never joined";
  std::string how = printable(thread.thread_class) + ", ";
  if (thread.kernel_state == "R") return how + "running";
  if (thread.kernel_state == "T" || thread.kernel_state == "t") return how + "stopped";
  return how + (thread.kernel_state == "S" || thread.kernel_state == "D" ? "waiting" : "alive");
}

namespace {

bool is_over(const Report& report) { return report.trigger == Trigger::exit || report.trigger == Trigger::post_mortem; }

/// At the end only those that keep something; before it, where each is blocked.
bool is_worth_showing(const Report& report, const Thread& thread) {
  if (thread.thread_class == "ignored" || thread.thread_class == "libc") return false;
  if (is_over(report)) return thread.holds.fd > 0 && thread.thread_class != "main";
  return thread.state == "running";
}

std::string render_call(std::string_view title, const report::ClosingCall& call, const Report& report,
                        const TextOptions& options) {
  return fmt::format("    {} by {} in thread {}\n{}", title, printable(call.function), call.thread,
                     render_frames(report, call.stack, options, "        "));
}

bool is_asked_for(const Report& report, std::string_view type) {
  return std::any_of(report.rules.begin(), report.rules.end(), [&](const RuleOutcome& rule) {
    return rule.rule.starts_with("misuse.") && rule.rule.substr(7).starts_with(type);
  });
}

/// Many programs call close(-1), and a standard stream is often closed to end the output: these are in the
/// report only, unless a rule names them or the close had a consequence.
bool is_worth_showing(const Report& report, const Misuse& misuse) {
  if (counts(misuse) || is_asked_for(report, misuse.type)) return true;
  return misuse.type == "standard_closed" ? misuse.opened.has_value() : misuse.fd >= 0;
}

}  // namespace

std::vector<TitledCall> closing_calls(const Misuse& misuse) {
  std::string_view first = misuse.type == "stale_owner"       ? "closed by number before"
                           : misuse.type == "standard_closed" ? "the standard stream closed before"
                                                              : "first closed";
  std::vector<TitledCall> calls;
  for (TitledCall one : {TitledCall{"closed", &misuse.closed},
                         {"reopened before that", &misuse.reopened},
                         {first, &misuse.first_closed},
                         {"opened", &misuse.opened},
                         {"the number's owner before that: closed", &misuse.earlier_closed},
                         {"the number's owner before that: opened", &misuse.earlier_opened}})
    if (*one.call) calls.push_back(one);
  return calls;
}

std::string describe_misuse(const Misuse& misuse) {
  std::string owner = misuse.owner == "directory_stream" ? "directory stream" : "stream";
  if (misuse.type == "double_close" && !misuse.owner.empty()) return fmt::format("a {} was closed twice", owner);
  if (misuse.type == "double_close")
    return fmt::format("descriptor {} was closed twice{}", misuse.fd,
                       misuse.reopened ? "; the second close hit another owner's descriptor" : "");
  if (misuse.type == "standard_closed")
    return fmt::format("descriptor {}{}", misuse.fd,
                       misuse.opened ? " was closed by code that had already closed a standard stream of that number"
                                     : ", a standard stream, was closed by number");
  if (misuse.type == "not_open") return fmt::format("descriptor {} was closed, but was not open", misuse.fd);
  if (misuse.type == "behind_owner")
    return fmt::format("descriptor {} was closed by number, although a {} owns it", misuse.fd, owner);
  if (misuse.type == "stale_owner")
    return fmt::format("a stream closed descriptor {}, whose number had been reused", misuse.fd);
  return fmt::format("descriptor {}: {}", misuse.fd, printable(misuse.type));
}

bool counts(const Misuse& misuse) { return misuse.type != "not_open" && misuse.type != "standard_closed"; }

std::string tinted(std::string_view text, Tint tint, bool colour) {
  if (!colour) return std::string(text);
  static constexpr const char* kCodes[] = {"1", "1;31", "33", "2"};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<size_t>(tint)], text);
}

std::string join(const std::vector<std::string>& parts, std::string_view between) {
  return fmt::format("{}", fmt::join(parts, between));
}

std::string render_frames(const Report& report, report::StackId stack, const TextOptions& options,
                          std::string_view indent) {
  std::string text;
  std::vector<StackFrame> frames = list_frames(report, stack);
  for (const ShownFrame& shown : choose_frames(frames, report.process.exe, options.paths, options.most_frames))
    text += fmt::format("{}{}\n", indent, render_frame(shown, options, options.columns - columns_of(indent)));
  return text;
}

namespace {

/// The function of a call, without those inlined into it.
StackFrame frame_of(const report::Call& call) {
  StackFrame frame{{}, {}, 0, call.module, call.offset, false};
  if (call.frames.empty()) return frame;
  const report::Frame& last = call.frames[call.frames.size() - 1];
  frame.function = last.function.empty() ? last.linkage_name : last.function;
  frame.file = last.file;
  frame.line = last.line;
  return frame;
}

/// Puts together threads that are described in the same words.
struct AlikeThreads {
  const Thread* first = nullptr;
  std::string words;
  std::string where;
  size_t count = 0;
};

std::string describe_where(const Report& report, const Thread& thread, const TextOptions& options) {
  if (thread.stack && *thread.stack)
    return "    blocked at\n" + render_frames(report, *thread.stack, options, "        ");
  std::string start = describe_function(report, thread.start_routine, options);
  return start.empty() ? start : "    started in " + start + "\n";
}

std::vector<AlikeThreads> group_threads(const Report& report, const TextOptions& options) {
  std::vector<AlikeThreads> groups;
  for (const Thread& thread : report.threads) {
    if (!is_worth_showing(report, thread)) continue;
    std::string words = fmt::format("({}){}", describe_state(thread), describe_holdings(thread, options));
    std::string where = describe_where(report, thread, options);
    auto alike = std::find_if(groups.begin(), groups.end(), [&](const AlikeThreads& one) {
      return one.words == words && one.where == where && one.first->holds.fd == 0;
    });
    if (alike == groups.end()) alike = groups.insert(groups.end(), {&thread, words, where, 0});
    ++alike->count;
  }
  return groups;
}

/// What the threads of a place do: where most wait, in the user's own code if that is known, else where they start.
std::string describe_running(const Report& report, const Place& place, const TextOptions& options) {
  std::map<std::string, size_t> waiting;
  for (const Thread& thread : report.threads) {
    bool is_of_place = std::any_of(place.sites.begin(), place.sites.end(),
                                   [&](uint32_t site) { return report.sites[site].id == thread.site; });
    if (!is_of_place || !thread.stack || !*thread.stack) continue;
    std::vector<StackFrame> frames = list_frames(report, *thread.stack);
    std::vector<ShownFrame> own = choose_frames(frames, report.process.exe, options.paths, 1);
    if (!own.empty() && is_own_frame(*own[0].frame)) ++waiting[render_frame(own[0], options, options.columns - 40)];
  }
  auto most = std::max_element(waiting.begin(), waiting.end(),
                               [](const auto& left, const auto& right) { return left.second < right.second; });
  std::string text;
  // std::thread and the like start all of theirs in one function of the library.
  report::CallId routine = place.objects.empty() ? 0 : place.objects[0]->start_routine;
  bool is_own =
      routine && routine <= report.stacks.calls.size() && is_own_frame(frame_of(report.stacks.calls[routine - 1]));
  if (is_own || most == waiting.end())
    if (std::string start = describe_function(report, routine, options); !start.empty())
      text += "    start routine " + start + "\n";
  if (most != waiting.end())
    text += fmt::format("    {} blocked at {}\n", most->second == place.running ? "all" : write_count(most->second),
                        most->first);
  return text;
}

/// "goroutine 18 (waiting, chan receive, for at least 5 min); holds 2 descriptors: …"
std::string describe_goroutines(const report::GoroutineGroup& group, const TextOptions& options) {
  bool is_one = group.count == 1 && !group.goroutines.empty();
  std::string heading =
      is_one ? fmt::format("goroutine {}", group.goroutines[0].goroutine) : write_number_of(group.count, "goroutine");
  std::string state = printable(group.state);
  if (!group.wait_reason.empty()) state += ", " + printable(group.wait_reason);
  if (group.waiting_ns) state += ", for at least " + write_duration(*group.waiting_ns);
  std::string text = fmt::format("{} ({})", tinted(heading, Tint::bold, options.colour), state);
  if (!group.fd) return text;
  text += fmt::format("; {} {}", is_one ? "holds" : "hold", write_number_of(group.fd, "descriptor"));
  if (!group.goroutines.empty())
    text += ": " + describe_descriptors(group.goroutines[0].descriptors.span(), group.fd, options);
  return text;
}

}  // namespace

std::string render_goroutines(const Report& report, const TextOptions& options) {
  constexpr uint64_t kMany = 10;
  std::string text;
  size_t shown = 0;
  uint64_t left_out = 0;
  for (const report::GoroutineGroup& group : report.goroutines) {
    if (!group.fd && group.count < kMany) continue;
    if (shown++ >= options.most_sites) {
      left_out += group.count;
      continue;
    }
    text += "\n  " + describe_goroutines(group, options) + "\n";
    if (group.stack) text += "    at\n" + render_frames(report, group.stack, options, "        ");
    if (group.created_at) text += "    started at\n" + render_frames(report, group.created_at, options, "        ");
  }
  if (left_out) text += fmt::format("\n  and {}\n", write_number_of(left_out, "more goroutine"));
  return text;
}

std::string describe_function(const Report& report, report::CallId call, const TextOptions& options) {
  if (!call || call > report.stacks.calls.size()) return {};
  StackFrame frame = frame_of(report.stacks.calls[call - 1]);
  return render_frame({&frame, false}, options, options.columns - 40);
}

std::string render_threads(const Report& report, const TextOptions& options) {
  if (!report.goroutines.empty()) return {};  // its threads run now this one, now that
  std::string text;
  size_t shown = 0;
  size_t left_out = 0;
  for (const AlikeThreads& group : group_threads(report, options)) {
    if (shown++ >= (is_over(report) ? kMostThreadsAtEnd : kMostThreads)) {
      left_out += group.count;
      continue;
    }
    std::string name = group.first->name.empty() ? "" : fmt::format(" \"{}\"", printable(group.first->name));
    std::string heading =
        (group.count > 1 ? write_number_of(group.count, "thread") : fmt::format("thread {}", group.first->thread)) +
        name;
    text += fmt::format("\n  {} {}\n{}", tinted(heading, Tint::bold, options.colour), group.words, group.where);
  }
  if (left_out) text += fmt::format("\n  and {}\n", write_number_of(left_out, "more thread"));
  return text;
}

std::string render_growth(const Report& report, const TextOptions& options) {
  std::string text;
  size_t shown = 0;
  for (const Place& place : list_places(report)) {
    if (!place.growing || !place.running || !place.site->suppressed_by.empty()) continue;
    if (shown++ == kMostGrowing) break;
    std::string heading = fmt::format("{} still running", write_number_of(place.running, "thread"));
    text += fmt::format("\n  {}, of {} that {} started here: their number keeps growing\n",
                        tinted(heading, Tint::bold, options.colour), write_count(place.total),
                        printable(place.site->acquired_by));
    std::string frames = render_frames(report, place.site->stack, options, "      ");
    text += frames.empty() ? "      (no stack)\n" : frames;
    text += describe_running(report, place, options);
  }
  return text;
}

std::string render_misuse(const Report& report, const TextOptions& options) {
  std::string text;
  size_t left_out = 0;
  size_t shown = 0;
  std::vector<const Misuse*> worth_showing;
  for (const Misuse& misuse : report.misuse)
    if (misuse.suppressed_by.empty() && is_worth_showing(report, misuse)) worth_showing.push_back(&misuse);
  std::stable_partition(worth_showing.begin(), worth_showing.end(), [](const Misuse* one) { return counts(*one); });
  for (const Misuse* one : worth_showing) {
    const Misuse& misuse = *one;
    if (shown++ >= kMostMisuses) {
      ++left_out;
      continue;
    }
    std::string times = misuse.count > 1 ? fmt::format(" ({} times)", write_count(misuse.count)) : "";
    text += fmt::format("\n  {}{}\n", tinted(describe_misuse(misuse), Tint::bold, options.colour), times);
    for (const auto& [title, call] : closing_calls(misuse)) text += render_call(title, **call, report, options);
  }
  if (left_out) text += fmt::format("\n  and {}\n", write_number_of(left_out, "more invalid close"));
  return text;
}

std::string describe_exec_leak(const ExecLeak& leak, const TextOptions& options) {
  std::string target = leak.target.empty() ? "" : fmt::format(" ({})", cut_to(options.paths.shorten(leak.target), 48));
  return fmt::format("descriptor {}{} was inherited by {}", leak.fd, target,
                     leak.program.empty() ? "another program" : cut_to(options.paths.shorten(leak.program), 48));
}

std::string render_exec_leaks(const Report& report, const TextOptions& options) {
  std::string text;
  size_t left_out = 0;
  size_t shown = 0;
  for (const ExecLeak& leak : report.exec_leaks) {
    if (!leak.suppressed_by.empty()) continue;
    if (shown++ >= kMostExecLeaks) {
      ++left_out;
      continue;
    }
    std::string times = leak.count > 1 ? fmt::format(" ({} times)", write_count(leak.count)) : "";
    std::string heading = describe_exec_leak(leak, options);
    text += fmt::format("\n  {} through {}{}\n    opened by {} without close-on-exec\n{}",
                        tinted(heading, Tint::bold, options.colour), printable(leak.started_by), times,
                        printable(leak.acquired_by), render_frames(report, leak.stack, options, "        "));
  }
  if (left_out)
    text += fmt::format("\n  and {} that other programs inherited\n", write_number_of(left_out, "more descriptor"));
  return text;
}

}  // namespace unfreed::render
