// The words of a report: the names of an enum's values, and what a text may be.
#pragma once

#include <cstddef>
#include <iterator>
#include <span>

#include "report/report.h"

namespace unfreed::report {

using Words = std::span<const Text>;

/// The names of an enum's values, by number.
template <class Enum>
struct EnumWords;
template <>
struct EnumWords<Trigger> {
  static constexpr Text kWords[] = {"exit", "signal", "api", "snapshot", "post_mortem", "exhaustion", "threshold"};
};
template <>
struct EnumWords<Grade> {
  static constexpr Text kWords[] = {"leaked", "held", "informational"};
};
template <>
struct EnumWords<GradingState> {
  static constexpr Text kWords[] = {"done", "refused"};
};
template <>
struct EnumWords<ledger::RootKind> {
  static constexpr Text kWords[] = {"none",   "variable", "thread_variable", "stack", "registers",
                                    "memory", "region",   "request",         "libc",  "epoll",
                                    "timer",  "kernel",   "thread_key",      "hidden"};
};
template <>
struct EnumWords<Course> {
  static constexpr Text kWords[] = {"unknown", "steady", "levels_off", "grows"};
};
template <>
struct EnumWords<PlaceKnownBy> {
  static constexpr Text kWords[] = {"line", "function", "module"};
};
template <>
struct EnumWords<ledger::Coverage> {
  static constexpr Text kWords[] = {"off", "exact", "sampled", "partial", "unavailable", "unconfirmed"};
};
template <>
struct EnumWords<ledger::Kind> {
  static constexpr Text kWords[] = {
#define KIND(name, number, noun, by_default, recorded, news) #name,
#include "ledger/kinds.inc"
#undef KIND
  };
};
template <class Enum>
constexpr Text word_of(Enum value) {
  auto at = static_cast<size_t>(value);
  return at < std::size(EnumWords<Enum>::kWords) ? EnumWords<Enum>::kWords[at] : Text("unknown");
}

namespace words {
inline constexpr Text kOwners[] = {"file_stream", "directory_stream", "popen_stream", "message_queue"};
inline constexpr Text kFdOrigins[] = {"held", "inherited", "unattributed", "standard",
                                      "libc", "ignored",   "closed_unseen"};
inline constexpr Text kChildOrigins[] = {"unattributed", "adopted", "inherited", "ignored", "reaped_unseen"};
inline constexpr Text kChildStates[] = {"zombie", "running", "unknown", "gone"};
inline constexpr Text kThreadStates[] = {"running", "finished"};
inline constexpr Text kObjectStates[] = {"running", "finished", "zombie", "unknown"};
inline constexpr Text kThreadClasses[] = {"main",         "finished", "joinable", "detached",
                                          "unattributed", "ignored",  "libc"};
inline constexpr Text kGoroutineStates[] = {"runnable", "running", "syscall", "waiting", "unknown"};
inline constexpr Text kMisuseTypes[] = {"double_close", "not_open", "behind_owner", "stale_owner", "standard_closed"};
inline constexpr Text kReceived[] = {"received"};
inline constexpr Text kLibc[] = {"libc"};
inline constexpr Text kHints[] = {
#define HINT(name, applies, count, bytes, write) #name,
#include "evaluate/hints.inc"
#undef HINT
};
inline constexpr Text kToolName[] = {"unfreed"};
inline constexpr Text kBackends[] = {"preload", "trace", "kernel", "ebpf"};
}  // namespace words

}  // namespace unfreed::report
