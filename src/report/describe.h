// The shape of a report, stated once. describe(visitor, value) names each member of a structure in the order in which
// it is written; the JSON writer, its reader and the JSON Schema are visitors.
//
//   visitor.member(name, value, presence, meaning[, words])   number, truth, text, enum, optional, structure, or a List
//   visitor.hash(name, value, …)                              64 bits as 16 hexadecimal digits
//   visitor.stack(name, id, …)                                a list of frames, innermost first
//   visitor.function(name, id, …)                             one frame
//   visitor.coverage(…), totals(…)                            an object with a member for each kind, or subject
//
// `words`: the words that a text may be; readers accept others, as later versions may add some.
#pragma once

#include <type_traits>

#include "report/report.h"
#include "report/words.h"

namespace unfreed::report {

/// How JSON is laid out for a structure: one member per line, or all on one line.
template <class T>
inline constexpr bool kIsCompact = true;
template <>
inline constexpr bool kIsCompact<Report> = false;
template <>
inline constexpr bool kIsCompact<Process> = false;
template <>
inline constexpr bool kIsCompact<Site> = false;
template <>
inline constexpr bool kIsCompact<Thread> = false;
template <>
inline constexpr bool kIsCompact<Holdings> = false;
template <>
inline constexpr bool kIsCompact<GoroutineGroup> = false;
template <>
inline constexpr bool kIsCompact<Misuse> = false;
template <>
inline constexpr bool kIsCompact<ClosingCall> = false;
template <>
inline constexpr bool kIsCompact<ExecLeak> = false;
template <>
inline constexpr bool kIsCompact<Failure> = false;

/// For value types V that may be const: `describe` serves writers and readers alike.
template <class Value, class Type>
concept Is = std::is_same_v<std::remove_const_t<Value>, Type>;

template <class Visitor>
void describe(Visitor& v, Is<Tool> auto& tool) {
  v.member("name", tool.name, Presence::always, "", words::kToolName);
  v.member("version", tool.version, Presence::always, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Process> auto& process) {
  v.member("pid", process.pid, Presence::always, "");
  v.member("ppid", process.ppid, Presence::always, "");
  v.member("run", process.run, Presence::if_set,
           "The run's ID: the same for a process that was started with unfreed and all its descendants.");
  v.member("started", process.started, Presence::always, "RFC 3339.");
  v.member("exe", process.exe, Presence::always, "The executable's path.");
  v.member("program", process.program, Presence::if_set,
           "The name it was started by, where that is not the executable's: a symbolic link's.");
  v.member("argv", process.argv, Presence::always, "");
  v.member("duration_ns", process.duration_ns, Presence::if_set, "From its start to its end, or to this report.");
  v.member("forked", process.forked, Presence::always, "A child of fork that has not called exec.");
  v.member(
      "attached", process.attached, Presence::if_set,
      "It was tracked from some time on while it ran (unfreed attach; with --preload the backend is preload): what it "
      "acquired, and duration_ns, are since "
      "then; what it had open before is inherited.");
  v.member("directory", process.directory, Presence::if_set, "The working directory when it started.");
  v.member("test", process.test, Presence::if_set, "The test that ran when it was started, or forked.");
  v.member(
      "outside_rules", process.outside_rules, Presence::if_set,
      "No rule was applied: UNFREED_RULES_FOR names other programs, or UNFREED_ALLOW_KILLED this one, which a signal "
      "ended.");
  v.member("exit_status", process.exit_status, Presence::if_set, "");
  v.member("signal", process.signal, Presence::if_set, "The signal that ended it.");
  v.member("signal_name", process.signal_name, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Object> auto& object) {
  v.member("fd", object.fd, Presence::if_set, "Descriptor number.");
  v.member("process", object.process, Presence::if_set, "A child's process number.");
  v.member("handle", object.handle, Presence::if_set,
           "The number or address of a timer, of shared memory, of a library.");
  v.member("thread", object.thread, Presence::if_set, "The thread itself, or the one that acquired the object.");
  v.member("goroutine", object.goroutine, Presence::if_set, "The goroutine that acquired the object.");
  v.member("bytes", object.bytes, Presence::if_set, "Its size, if it has one.");
  v.member("target", object.target, Presence::if_set, "What a descriptor refers to.");
  v.member("flags", object.flags, Presence::if_set, "");
  v.member("name", object.name, Presence::if_set, "");
  v.member("state", object.state, Presence::if_set, "", words::kObjectStates);
  v.member("detached", object.detached, Presence::if_set, "");
  v.member("lost", object.lost, Presence::if_set,
           "Nothing leads to the stream that owns the descriptor, or the thread's pthread_t lies nowhere.");
  v.member("created_by", object.created_by, Presence::if_set, "The thread that created it.");
  v.member("age_ns", object.age_ns, Presence::if_set, "");
  v.member("finished_ago_ns", object.finished_ago_ns, Presence::if_set, "");
  v.member("owner", object.owner, Presence::if_set, "The stream that owns a descriptor.", words::kOwners);
  v.member("origin", object.origin, Presence::if_set, "Received in a message (SCM_RIGHTS).", words::kReceived);
  v.function("start_routine", object.start_routine, Presence::if_set, "");
  v.member("test", object.test, Presence::if_set, "The test that ran in this process when it was acquired.");
  v.member("site", object.site, Presence::if_set, "The site that acquired it, if it is not the one that lists it.");
}

template <class Visitor>
void describe(Visitor& v, Is<AgeGroup> auto& group) {
  v.member("age_ns", group.age_ns, Presence::always, "Of the oldest of the group: at most.");
  v.member("at_least_ns", group.at_least_ns, Presence::always, "Of the youngest.");
  v.member("live", group.live, Presence::always, "");
  v.member("bytes", group.bytes, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<TestShare> auto& share) {
  v.member("test", share.test, Presence::if_set, "Its name, as the test framework gives it.");
  v.member("live", share.live, Presence::always, "");
  v.member("running", share.running, Presence::if_set, "Threads or children that have not ended.");
  v.member("bytes", share.bytes, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<PastCount> auto& count) {
  v.member("ago_ns", count.ago_ns, Presence::always, "");
  v.member("live", count.live, Presence::always, "Threads and children that had not ended are in it.");
  v.member("bytes", count.bytes, Presence::if_set, "Of the heap, if it is known.");
}

template <class Visitor>
void describe(Visitor& v, Is<Growth> auto& growth) {
  v.member("course", growth.course, Presence::always,
           "grows: without an end in sight; levels_off: grew, and has stopped or slows down; steady: did not grow, or "
           "fell as much as it rose; unknown: nothing can be said yet.");
  v.member("first", growth.first, Presence::always, "At the first look: how many; of the heap bytes.");
  v.member("last", growth.last, Presence::always, "At the last look.");
  v.member("per_day", growth.per_day, Presence::if_set, "If it grows: by how much, rounded up.");
  v.member("per_day_least", growth.per_day_least, Presence::if_set, "With a confidence of 95 %: at least …");
  v.member("per_day_most", growth.per_day_most, Presence::if_set, "… and at most.");
  v.member("reason", growth.reason, Presence::if_set, "Why nothing can be said.");
}

template <class Visitor>
void describe(Visitor& v, Is<KindGrowth> auto& one) {
  v.member("kind", one.kind, Presence::always, "");
  v.member("growth", one.growth, Presence::always, "Of all that counts of this kind.");
  v.member("limit", one.limit, Presence::if_set, "On descriptors: the soft limit (RLIMIT_NOFILE).");
  v.member("limit_in_ns", one.limit_in_ns, Presence::if_set, "When it is reached, after the last look.");
}

template <class Visitor>
void describe(Visitor& v, Is<Watch> auto& watch) {
  v.member("looks", watch.looks, Presence::always, "");
  v.member("duration_ns", watch.duration_ns, Presence::always, "From the first look to the last.");
  v.member("kinds", watch.kinds, Presence::always, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Site> auto& site) {
  v.member("id", site.id, Presence::always, "Unique in this report only.");
  v.member("kind", site.kind, Presence::always, "");
  v.hash("signature", site.signature, Presence::always,
         "Of the call site: the same in every run, and in every build that leaves its functions unchanged.");
  v.member("known_by", site.known_by, Presence::if_set,
           "What identifies the call site: source lines; without debug information, functions and the calls in them; "
           "without function names, addresses in a module.");
  v.member("grade", site.grade, Presence::always,
           "leaked: can no longer be released; held: not released; informational: not counted by rules.");
  v.member("live", site.live, Presence::always, "");
  v.member("bytes", site.bytes, Presence::always, "Of live: the sizes requested.");
  v.member("total", site.total, Presence::always, "");
  v.member("total_bytes", site.total_bytes, Presence::if_set, "");
  v.member("lost", site.lost, Presence::if_set,
           "Of live: heap blocks that no pointer leads to (or only pointers in blocks that they lead to themselves); "
           "descriptors whose stream, and threads whose pthread_t, nothing leads to.");
  v.member("lost_bytes", site.lost_bytes, Presence::if_set, "");
  v.member("indirectly_lost", site.indirectly_lost, Presence::if_set, "Of live: only lost blocks lead to them.");
  v.member("indirectly_lost_bytes", site.indirectly_lost_bytes, Presence::if_set, "");
  v.member("possibly_lost", site.possibly_lost, Presence::if_set,
           "Of live: only pointers into the middle of a block lead to them.");
  v.member("possibly_lost_bytes", site.possibly_lost_bytes, Presence::if_set, "");
  v.member("closed_by_gc", site.closed_by_gc, Presence::if_set,
           "Descriptors of a Go program that its garbage collector closed, as the program never did.");
  v.member("peak", site.peak, Presence::if_set, "The highest number live at once, if that was tracked.");
  v.member("at_peak", site.at_peak, Presence::if_set,
           "Live here when the process held most of this kind (the peak in totals).");
  v.member("running", site.running, Presence::if_set, "Threads or children started here that have not ended.");
  v.member("growing", site.growing, Presence::if_set,
           "Threads are started here and do not end: their number is the highest so far.");
  v.member("acquired_by", site.acquired_by, Presence::always, "The function that acquired it; stack[0] is its caller.");
  v.stack("stack", site.stack, Presence::always, "");
  v.member("truncated", site.truncated, Presence::always, "Outer frames are missing.");
  v.member("overflow", site.overflow, Presence::if_set, "Represents all sites that the full table had no room for.");
  v.member("owner", site.owner, Presence::if_set, "Who holds it for its own use.", words::kLibc);
  v.member("first_age_ns", site.first_age_ns, Presence::if_set, "Since the first acquisition.");
  v.member("oldest_age_ns", site.oldest_age_ns, Presence::if_set, "Of what is live, as far as ages are known.");
  v.member("median_age_ns", site.median_age_ns, Presence::if_set, "");
  v.member("ages", site.ages, Presence::if_set,
           "How old what is live is, the oldest first; absent if that is not known. Of the heap it is found out "
           "together with what is lost.");
  v.member(
      "tests", site.tests, Presence::if_set,
      "The tests that ran in this process when what is live or running was acquired: the 64 that acquired the greatest "
      "numbers, the greatest first. Of the heap it is found out together with what is lost.");
  v.member("tests_omitted", site.tests_omitted, Presence::if_set, "How many more tests.");
  v.member("other_tests", site.other_tests, Presence::if_set, "What those acquired in all: without a name.");
  v.member("growth", site.growth, Presence::if_set,
           "What became of its call site while the process was watched, if that changed at all.");
  v.member("history", site.history, Presence::if_set,
           "What was live at earlier times, the oldest first, at distances from now that double: as the process itself "
           "recorded it, watched or not. Of sites whose number has grown.");
  v.member("objects", site.objects, Presence::if_set, "The oldest and the newest.");
  v.member("objects_omitted", site.objects_omitted, Presence::if_set, "");
  v.member("suppressed_by", site.suppressed_by, Presence::if_set,
           "The suppression that covers it. Rules do not count it.");
  v.member("exceeds", site.exceeds, Presence::if_set,
           "The suppression that would cover it if its call sites held no more than it allows (max=).");
}

template <class Visitor>
void describe(Visitor& v, Is<RetentionNode> auto& node) {
  v.member("parent", node.parent, Presence::if_set, "The node that leads to it: its place in this list, from 1 on.");
  v.member(
      "root", node.root, Presence::if_set,
      "Where the path begins: a variable, a thread-local one (or other memory that libc keeps for a thread), a "
      "thread's value of a pthread key, a frame of a stack, registers, a mapping, a region or a block that the program "
      "has declared to be in use, libc, or the kernel (epoll_ctl, timer_create, perhaps requests to io_uring or aio); "
      "hidden: a packed or tagged pointer, wherever it lies.");
  v.member("thread", node.thread, Presence::if_set, "Whose stack, registers or variable it is.");
  v.function("place", node.place, Presence::if_set, "The variable, or the function whose frame it is.");
  v.member("address", node.address, Presence::if_set, "Of a root that has no name.");
  v.member("key", node.key, Presence::if_set, "The pthread key whose value it is.");
  v.member("joined", node.joined, Presence::if_set,
           "Stands for variables that follow in memory, too, as there are very many that blocks hang on.");
  v.member("site", node.site, Presence::if_set, "Which acquired the blocks.");
  v.member("type", node.type, Presence::if_set, "The class of a block of them, by its table of virtual functions.");
  v.member("link", node.link, Presence::if_set, "Where in a block of the parent a pointer to them lies, in bytes.");
  v.member("blocks", node.blocks, Presence::always, "Reached on this path, not on a shorter one.");
  v.member("bytes", node.bytes, Presence::always, "");
  v.member("retained_bytes", node.retained_bytes, Presence::if_set,
           "What would be lost if it let go of all that it points to: its own blocks, and what is reached only through "
           "them. Of several blocks at least. Absent if it was not computed.");
}

template <class Visitor>
void describe(Visitor& v, Is<Descriptor> auto& one) {
  v.member("fd", one.fd, Presence::always, "");
  v.member("origin", one.origin, Presence::always, "", words::kFdOrigins);
  v.member("target", one.target, Presence::if_set, "");
  v.member("flags", one.flags, Presence::if_set, "");
  v.member("site", one.site, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Holdings> auto& holds) {
  v.member("fd", holds.fd, Presence::always, "Descriptors it acquired that are still held.");
  v.member("heap", holds.heap, Presence::always, "Blocks that it allocated, minus blocks that it freed.");
  v.member("heap_bytes", holds.heap_bytes, Presence::always, "");
  v.member("descriptors", holds.descriptors, Presence::always, "The oldest.");
  v.member("descriptors_omitted", holds.descriptors_omitted, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Thread> auto& thread) {
  v.member("thread", thread.thread, Presence::always, "");
  v.member("name", thread.name, Presence::if_set, "");
  v.member("class", thread.thread_class, Presence::always,
           "finished: neither joined nor detached; joinable and detached: still running; unattributed: no hooked "
           "function started it.",
           words::kThreadClasses);
  v.member("state", thread.state, Presence::always, "", words::kThreadStates);
  v.member("kernel_state", thread.kernel_state, Presence::if_set, "As in /proc/PID/stat: R running, S and D waiting.");
  v.member("waits_in", thread.waits_in, Presence::if_set,
           "The function of the kernel that it waits in, where the process is not tracked.");
  v.member("site", thread.site, Presence::if_set, "Where it was created.");
  v.member("created_by", thread.created_by, Presence::if_set, "The thread that created it.");
  v.member("age_ns", thread.age_ns, Presence::if_set, "");
  v.member("finished_ago_ns", thread.finished_ago_ns, Presence::if_set, "");
  v.function("start_routine", thread.start_routine, Presence::if_set, "");
  v.stack("stack", thread.stack, Presence::if_set, "Where it is blocked, if it is waiting in the kernel.");
  v.member("truncated", thread.truncated, Presence::if_set, "Outer frames are missing.");
  v.member("holds", thread.holds, Presence::always, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Goroutine> auto& goroutine) {
  v.member("goroutine", goroutine.goroutine, Presence::always, "Its number, as Go's own messages give it.");
  v.member("created_by", goroutine.created_by, Presence::if_set, "The goroutine that started it (Go 1.21 and newer).");
  v.member("waiting_ns", goroutine.waiting_ns, Presence::if_set,
           "Since a garbage collection first found it waiting: it waits for at least as long.");
  v.member("fd", goroutine.fd, Presence::always, "Descriptors it acquired that are still held.");
  v.member("descriptors", goroutine.descriptors, Presence::if_set, "The oldest.");
  v.member("descriptors_omitted", goroutine.descriptors_omitted, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<GoroutineGroup> auto& group) {
  v.member("count", group.count, Presence::always, "");
  v.member("state", group.state, Presence::always, "", words::kGoroutineStates);
  v.member("wait_reason", group.wait_reason, Presence::if_set,
           "As Go's runtime puts it. Absent if the program is stripped.");
  v.stack("created_at", group.created_at, Presence::if_set, "The go statement that started them.");
  v.stack("stack", group.stack, Presence::always, "Where they wait; of running ones it is not known.");
  v.member("truncated", group.truncated, Presence::if_set, "Outer frames are missing.");
  v.member("waiting_ns", group.waiting_ns, Presence::if_set, "Of the one that waits longest, as far as it is known.");
  v.member("fd", group.fd, Presence::always, "Descriptors that they acquired and that are still held.");
  v.member("goroutines", group.goroutines, Presence::always, "Those that hold most first, then the oldest.");
  v.member("goroutines_omitted", group.goroutines_omitted, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Child> auto& child) {
  v.member("origin", child.origin, Presence::always, "", words::kChildOrigins);
  v.member("process", child.process, Presence::always, "");
  v.member("name", child.name, Presence::if_set, "");
  v.member("state", child.state, Presence::always, "", words::kChildStates);
  v.member("thread", child.thread, Presence::if_set, "The thread that started it.");
  v.member("age_ns", child.age_ns, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<ClosingCall> auto& call) {
  v.member("function", call.function, Presence::always, "stack[0] is its caller.");
  v.member("thread", call.thread, Presence::always, "");
  v.member("age_ns", call.age_ns, Presence::always, "");
  v.stack("stack", call.stack, Presence::always, "");
  v.member("truncated", call.truncated, Presence::always, "Outer frames are missing.");
}

template <class Visitor>
void describe(Visitor& v, Is<Misuse> auto& misuse) {
  v.member("type", misuse.type, Presence::always,
           "double_close: closed before, by the same owner; not_open: never seen open; behind_owner: by its number, "
           "though a stream owns it; stale_owner: by a stream whose number had been handed out anew; standard_closed: "
           "0 to 2 "
           "by its number, and not by whom it was opened.",
           words::kMisuseTypes);
  v.member("count", misuse.count, Presence::always, "");
  v.member("fd", misuse.fd, Presence::always, "Of the first time.");
  v.member("owner", misuse.owner, Presence::if_set, "", words::kOwners);
  v.member("opened", misuse.opened, Presence::if_set, "");
  v.member("first_closed", misuse.first_closed, Presence::if_set, "");
  v.member("closed", misuse.closed, Presence::if_set, "The invalid close itself.");
  v.member("reopened", misuse.reopened, Presence::if_set,
           "Whose the number was by the time of the invalid close, where it had been handed out anew.");
  v.member(
      "earlier_closed", misuse.earlier_closed, Presence::if_set,
      "How the number's owner before that closed it, whose second close the first or the invalid one may have been.");
  v.member("earlier_opened", misuse.earlier_opened, Presence::if_set, "And how that owner had opened it.");
  v.member("suppressed_by", misuse.suppressed_by, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<ExecLeak> auto& leak) {
  v.member("fd", leak.fd, Presence::always, "Of the first time.");
  v.member("count", leak.count, Presence::always, "How many times a descriptor opened here was inherited.");
  v.member("target", leak.target, Presence::if_set, "What it referred to.");
  v.member("program", leak.program, Presence::always,
           "The first program that inherited one, as passed to the function that started it.");
  v.member("started_by", leak.started_by, Presence::always, "The function that started the program.");
  v.member("process", leak.process, Presence::always, "The process that called started_by.");
  v.member("acquired_by", leak.acquired_by, Presence::always, "");
  v.member("age_ns", leak.age_ns, Presence::always, "");
  v.stack("stack", leak.stack, Presence::always, "Of the opening.");
  v.member("truncated", leak.truncated, Presence::always, "Outer frames are missing.");
  v.member("suppressed_by", leak.suppressed_by, Presence::if_set, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Exhaustion> auto& exhaustion) {
  v.member("function", exhaustion.function, Presence::always, "");
  v.member("kind", exhaustion.kind, Presence::always, "");
  v.member("error", exhaustion.error, Presence::always, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Threshold> auto& threshold) {
  v.member("rule", threshold.rule, Presence::always, "Of UNFREED_REPORT_AT.");
  v.member("value", threshold.value, Presence::always, "That was reached: the rule's own, or that doubled.");
}

template <class Visitor>
void describe(Visitor& v, Is<Grading> auto& grading) {
  v.member("state", grading.state, Presence::always, "");
  v.member("reason", grading.reason, Presence::if_set, "Why it, or some of it, could not be found out.");
  v.member("age_ns", grading.age_ns, Presence::if_set, "");
  v.member("no_retained_bytes", grading.no_retained_bytes, Presence::if_set, "Why retained_bytes were not computed.");
}

template <class Visitor>
void describe(Visitor& v, Is<Failure> auto& failure) {
  v.member("function", failure.function, Presence::always, "The function that failed.");
  v.member("kind", failure.kind, Presence::always, "");
  v.member("error", failure.error, Presence::always, "EMFILE …, or errno and its number.");
  v.member("count", failure.count, Presence::always, "");
  v.member("first", failure.first, Presence::always, "RFC 3339.");
  v.member("first_after_ns", failure.first_after_ns, Presence::always, "After the process started.");
  v.member("live_then", failure.live_then, Presence::always, "How many of this kind were held at the first failure.");
  v.member("thread", failure.thread, Presence::always, "");
  v.stack("stack", failure.stack, Presence::always, "Of the first failure.");
  v.member("truncated", failure.truncated, Presence::always, "Outer frames are missing.");
}

template <class Visitor>
void describe(Visitor& v, Is<RuleOutcome> auto& outcome) {
  v.member("rule", outcome.rule, Presence::always, "");
  v.member("value", outcome.value, Presence::if_set, "Absent if the rule could not be checked.");
  v.member("broken", outcome.broken, Presence::always, "");
  v.member("unchecked", outcome.unchecked, Presence::if_set, "Why the rule could not be checked.");
  v.member("site", outcome.site, Presence::if_set, "Of a site rule: the one with the highest value.");
}

template <class Visitor>
void describe(Visitor& v, Is<Hint> auto& hint) {
  v.member("name", hint.name, Presence::always, "", words::kHints);
  v.member("site", hint.site, Presence::if_set, "Of the call site that it is about.");
  v.member("count", hint.count, Presence::if_set, "Of how many of what it holds this is true.");
  v.member("bytes", hint.bytes, Presence::if_set, "Of deleted files: what they take on their disks, at least.");
  v.member("text", hint.text, Presence::always, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Module> auto& module) {
  v.member("path", module.path, Presence::always, "");
  v.member("build_id", module.build_id, Presence::if_set, "Hexadecimal.");
  v.member("base", module.base, Presence::always, "An offset in the module plus this is an address in the process.");
  v.member("size", module.size, Presence::always, "From the base to the end of what is mapped of it.");
}

template <class Visitor>
void describe(Visitor& v, Is<UntrackedProgram> auto& program) {
  v.member("program", program.program, Presence::always, "Its path, or what is known of it.");
  v.member("reason", program.reason, Presence::always, "");
  v.member("count", program.count, Presence::always, "How many times it was started.");
  v.member("allowed", program.allowed, Presence::if_set, "Covered by UNFREED_ALLOW_UNTRACKED.");
}

template <class Visitor>
void describe(Visitor& v, Is<Memory> auto& memory) {
  v.member("resident", memory.resident, Presence::always, "In memory now, in bytes.");
  v.member("anonymous", memory.anonymous, Presence::always, "Of resident: heaps, stacks and other memory of no file.");
  v.member("file", memory.file, Presence::always, "Of resident: of files.");
  v.member("shared", memory.shared, Presence::always, "Of resident: shared memory.");
  v.member("swapped", memory.swapped, Presence::always, "");
}

template <class Visitor>
void describe(Visitor& v, Is<Report> auto& report) {
  v.member("schema_version", report.schema_version, Presence::always, "");
  v.member("tool", report.tool, Presence::always, "");
  v.member("trigger", report.trigger, Presence::always, "The event that caused this report.");
  v.member("complete", report.complete, Presence::always,
           "False if something was dropped or could not be read; notes lists what.");
  v.member("notes", report.notes, Presence::always, "");
  v.member("process", report.process, Presence::always, "");
  v.member(
      "backend", report.backend, Presence::if_set,
      "How the process was tracked: preload, by the library in it; trace, from outside by its system calls; kernel, "
      "not at all: the report says what the kernel knows.",
      words::kBackends);
  v.member(
      "preloaded", report.preloaded, Presence::if_set,
      "Of a process that was traced: the library was in it as well, and has counted what system calls do not show: the "
      "heap, timers, shared memory, libraries, mappings, and which threads were joined.");
  v.coverage("coverage", report, "How much of each kind was seen. A kind that is off or unavailable has no totals.");
  v.member("grading", report.grading, Presence::if_set,
           "Whether it was found out which blocks, streams and threads the process can still get at (lost and its "
           "relatives).");
  v.member("watch", report.watch, Presence::if_set, "What became of each kind while the process was watched.");
  v.member("memory", report.memory, Presence::if_set, "Of a process that is not tracked.");
  v.member("fd_limit", report.fd_limit, Presence::if_set,
           "Of a process that is not tracked: its soft limit on descriptors (RLIMIT_NOFILE).");
  v.member("reconciled", report.reconciled, Presence::always, "Descriptors were compared with the kernel's own list.");
  v.totals("totals", report, "");
  v.worst_sites("worst_site", report,
                "By kind, for each number that site rules may name: the highest value of any call site that counts, "
                "including call sites that no longer hold anything and are not listed.");
  v.member("sites", report.sites, Presence::always, "Worst first.");
  v.member(
      "retention", report.retention, Presence::if_set,
      "Who keeps blocks alive, when that was last found out (grading): the shortest paths of pointers from roots to "
      "blocks, put together by call site. What keeps least is left out.");
  v.member("sites_omitted", report.sites_omitted, Presence::if_set, "Sites that are not in the list.");
  v.member("descriptors", report.descriptors, Presence::always,
           "Descriptors that belong to no site, and those that are not counted.");
  v.member("descriptors_omitted", report.descriptors_omitted, Presence::if_set, "");
  v.member("threads", report.threads, Presence::always,
           "Every thread that exists and what it holds; those that hold most come first.");
  v.member("threads_omitted", report.threads_omitted, Presence::if_set, "");
  v.member("goroutines", report.goroutines, Presence::if_set,
           "Of a traced Go program: its goroutines, by the go statement that started them and the place where they "
           "wait; those that hold most come first.");
  v.member("goroutines_omitted", report.goroutines_omitted, Presence::if_set, "Groups that are not in the list.");
  v.member("children", report.children, Presence::always,
           "Children that belong to no site, and those that are not counted.");
  v.member("children_omitted", report.children_omitted, Presence::if_set, "");
  v.member("misuse", report.misuse, Presence::always, "Invalid closes of descriptors.");
  v.member("inherited_by_child", report.exec_leaks, Presence::always,
           "Descriptors without close-on-exec that another program inherited, grouped by the stack that opened them.");
  v.member("of_run", report.of_run, Presence::if_set,
           "This is the report of the run's command: complete and untracked cover the whole run.");
  v.member("clean_processes", report.clean_processes, Presence::if_set,
           "Processes of the run that rules are for, that keep them, hold nothing, and have no report of their own.");
  v.member("untracked", report.untracked, Presence::always,
           "Untracked programs that were started by this process or, with of_run, by any process of the run.");
  v.member("exhaustion", report.exhaustion, Presence::if_set, "The failed call that caused this report, if one did.");
  v.member("threshold", report.threshold, Presence::if_set, "The number that was reached, if that caused this report.");
  v.member("failures", report.failures, Presence::always,
           "Calls that failed because a limit was reached, by function, error and stack.");
  v.member("hints", report.hints, Presence::if_set,
           "What the state of what is held says about the mistake, and what to do.");
  v.member("rules", report.rules, Presence::always, "");
  v.member("modules", report.modules, Presence::always, "");
  v.stacks("stacks", report);
}

}  // namespace unfreed::report
