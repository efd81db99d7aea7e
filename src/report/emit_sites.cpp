// The body of a report: sites with their stacks and objects, descriptors without a site, failures.
#include <errno.h>
#include <fcntl.h>

#include "base/text.h"
#include "report/emit.h"
#include "report/stack_hashes.h"

namespace unfreed::report {

namespace {

using ledger::Kind;

/// Objects shown of a site: so many of the oldest, and of the newest.
constexpr uint32_t kObjectsAtEachEnd = 16;
/// Descriptors shown that belong to no site.
constexpr uint32_t kMaxDescriptors = 256;

std::string_view grade_name(const GradedSite& site) {
  if (site.libc || site.live == 0) return "informational";
  return site.kind == Kind::thread || site.kind == Kind::child ? "leaked" : "held";
}

/// Threads that are started and never end: there have never been more of them than now.
bool is_growing(const GradedSite& site) {
  constexpr uint64_t kFew = 10;
  uint64_t there = site.live + site.running;
  return site.kind == Kind::thread && there >= kFew && there >= site.peak && there > site.total / 2;
}

struct StatusFlag {
  uint32_t bits;
  std::string_view name;
};
constexpr StatusFlag kStatusFlags[] = {
    {O_APPEND, "append"}, {O_NONBLOCK, "nonblock"},   {O_PATH, "path"},
    {O_DIRECT, "direct"}, {O_DIRECTORY, "directory"}, {O_TMPFILE & ~O_DIRECTORY, "tmpfile"},
    {O_ASYNC, "async"},   {O_SYNC, "sync"},
};

void emit_flags(JsonText& json, const ledger::KernelFd& kernel) {
  json.key("flags").begin_array(Layout::compact);
  if (kernel.flags & ledger::kKernelFdCloexec) json.value("cloexec");
  uint32_t access = kernel.status_flags & O_ACCMODE;
  if (!(kernel.status_flags & O_PATH))
    json.value(access == O_RDONLY ? "read" : access == O_WRONLY ? "write" : "read_write");
  for (const StatusFlag& flag : kStatusFlags)
    if ((kernel.status_flags & flag.bits) == flag.bits) json.value(flag.name);
  json.end_array();
}

void emit_fd_object(Emission& emission, const GradedFd& fd) {
  JsonText& json = emission.json;
  json.begin_object(Layout::compact);
  json.member("fd", fd.fd);
  emit_target(emission, fd);
  json.member("thread", fd.tid);
  json.member("age_ns", emission.age_ns(fd.acquired_ns));
  if (fd.owner != 0) json.member("owner", owner_name(fd.owner));
  if (fd.origin == ledger::FdOrigin::received) json.member("origin", "received");
  json.end_object();
}

void emit_thread_object(Emission& emission, const GradedThread& thread) {
  JsonText& json = emission.json;
  json.begin_object(Layout::compact);
  json.member("thread", thread.tid);
  size_t length = 0;
  while (length < sizeof thread.name && thread.name[length] != '\0') ++length;
  if (length > 0) json.member("name", std::string_view(thread.name, length));
  json.member("state", thread.finished ? "finished" : "running");
  json.member("detached", thread.detached);
  json.member("created_by", thread.creator_tid);
  json.member("age_ns", emission.age_ns(thread.started_ns));
  if (thread.finished) json.member("finished_ago_ns", emission.age_ns(thread.finished_ns));
  if (thread.start_module != 0 || thread.start_offset != 0) {
    json.key("start_routine");
    emit_frame(emission, {0, thread.start_module | ledger::kNodeExactPc, thread.start_offset});
  }
  json.end_object();
}

void emit_child_object(Emission& emission, const GradedChild& child) {
  emission.json.begin_object(Layout::compact);
  emit_child(emission, child);
  emission.json.end_object();
}

void emit_objects(Emission& emission, const GradedSite& site) {
  JsonText& json = emission.json;
  uint32_t omitted = 0;
  json.key("objects").begin_array();
  for (uint32_t index = 0; index < site.objects; ++index) {
    if (site.objects > 2 * kObjectsAtEachEnd && index >= kObjectsAtEachEnd &&
        index < site.objects - kObjectsAtEachEnd) {
      ++omitted;
      continue;
    }
    uint32_t at = site.first_object + index;
    if (site.kind == Kind::fd)
      emit_fd_object(emission, emission.graded.fds[at]);
    else if (site.kind == Kind::child)
      emit_child_object(emission, emission.graded.children[at]);
    else
      emit_thread_object(emission, emission.graded.threads[at]);
  }
  json.end_array();
  if (omitted > 0) json.member("objects_omitted", omitted);
}

void emit_counts(JsonText& json, const GradedSite& site) {
  json.member("live", site.live);
  json.member("bytes", site.bytes);
  json.member("total", site.total);
  if (site.kind == Kind::heap) json.member("total_bytes", site.total_bytes);
  if (site.peak > 0) json.member("peak", site.peak);
  if (site.kind == Kind::thread || site.kind == Kind::child) json.member("running", site.running);
  if (is_growing(site)) json.member("growing", true);
}

void emit_site(Emission& emission, uint32_t index, bool whole_stack) {
  JsonText& json = emission.json;
  const GradedSite& site = emission.graded.sites[index];
  const ledger::Site* found = emission.view().site(index);
  if (!found) return;  // a live ledger's table does not shrink: only a forged one's does
  const ledger::Site& record = *found;
  std::string_view door = emission.graded.door(record.door);
  json.begin_object(whole_stack ? Layout::lines : Layout::compact);
  json.member("id", index);
  json.member("kind", kind_name(site.kind));
  json.key("signature").hash_value(emission.graded.hashes->signature(site.kind, door, record.node));
  json.member("grade", grade_name(site));
  emit_counts(json, site);
  json.member("acquired_by", door);
  uint32_t outer = whole_stack ? 0 : emission.outer.number_after(emission.view(), record.node);
  bool cut = emit_stack(emission, record.node, outer ? OuterStacks::kInnermost : kMaxFrames);
  if (outer) json.member("outer_stack", outer);
  json.member("truncated", cut || (record.flags & ledger::kSiteTruncated) != 0);
  if (record.flags & ledger::kSiteOverflow) json.member("overflow", true);
  if (site.libc) json.member("owner", "libc");
  if (record.first_ns != 0) json.member("first_age_ns", emission.age_ns(record.first_ns));
  if (site.objects > 0) emit_objects(emission, site);
  if (site.is_suppressed()) json.member("suppressed_by", emission.input.suppressions[site.suppression].text);
  json.end_object();
}

std::string_view class_name(FdClass fd_class) {
  switch (fd_class) {
    case FdClass::inherited:
      return "inherited";
    case FdClass::unattributed:
      return "unattributed";
    case FdClass::libc:
      return "libc";
    case FdClass::ignored:
      return "ignored";
    case FdClass::standard:
      return "standard";
    case FdClass::closed_unseen:
      return "closed_unseen";
    default:
      return "held";
  }
}

void emit_frame_view(Emission& emission, const FrameView& frame) {
  JsonText& json = emission.json;
  json.begin_object(Layout::compact);
  if (frame.resolved) {
    const ResolvedFrame& resolved = *frame.resolved;
    std::string_view function = resolved.function.empty() ? resolved.linkage_name : resolved.function;
    if (!function.empty()) json.member("function", function);
    if (!resolved.file.empty()) json.member("file", resolved.file);
    if (resolved.line != 0) json.member("line", resolved.line);
  }
  bool is_known = frame.module && !frame.module_path.empty();
  json.member("module", is_known ? frame.module_path : std::string_view("[unknown]"));
  if (frame.module && frame.module->build_id_bytes > 0)
    json.key("build_id").hex_value(emission.view().build_id_bytes(*frame.module));
  json.member("offset", lookup_offset(*frame.node));
  json.member("inlined", frame.resolved && frame.resolved->inlined);
  json.end_object();
  uint32_t module = frame.node->module & ledger::kNodeModuleMask;
  if (frame.module && module < emission.modules.size()) emission.modules[module] = true;
}

}  // namespace

std::string_view owner_name(uint32_t kind) {
  constexpr std::string_view kNames[] = {"", "file_stream", "directory_stream", "popen_stream", "message_queue"};
  return kind < std::size(kNames) ? kNames[kind] : std::string_view();
}

void emit_target(Emission& emission, const GradedFd& fd) {
  const ledger::KernelFd* kernel = fd.kernel == kNoIndex ? nullptr : emission.view().kernel_fd(fd.kernel);
  if (!kernel) return;
  std::string_view target = emission.view().text(kernel->target);
  if (!target.empty()) emission.json.member("target", target);
  emit_flags(emission.json, *kernel);
}

bool emit_stack(Emission& emission, uint32_t leaf, size_t most_nodes) {
  emission.json.key("stack").begin_array();
  FrameVisitor visitor{&emission, [](void* context, const FrameView& frame) {
                         emit_frame_view(*static_cast<Emission*>(context), frame);
                       }};
  bool cut = visit_stack(emission.view(), emission.input.resolver, leaf, visitor, most_nodes);
  emission.json.end_array();
  return cut;
}

void emit_frame(Emission& emission, const ledger::Node& node) {
  // The last frame is the function itself; what is inlined into it has no place in a single frame.
  struct Last {
    Emission& emission;
    bool done;
  } last{emission, false};
  FrameVisitor visitor{&last, [](void* context, const FrameView& frame) {
                         Last& at = *static_cast<Last*>(context);
                         if (at.done || (frame.resolved && frame.resolved->inlined)) return;
                         at.done = true;
                         emit_frame_view(at.emission, frame);
                       }};
  visit_node(emission.view(), emission.input.resolver, node, visitor);
  if (!last.done) emission.json.null();
}

namespace {
void emit_outer_stacks(Emission& emission) {
  JsonText& json = emission.json;
  const ledger::View& view = emission.view();
  json.key("outer_stacks").begin_object();
  json.key("calls").begin_array();
  FrameVisitor visitor{&emission, [](void* context, const FrameView& frame) {
                         emit_frame_view(*static_cast<Emission*>(context), frame);
                       }};
  emission.outer.each_call(view, [&](const ledger::Node& node) {
    json.begin_array(Layout::compact);
    visit_node(view, emission.input.resolver, node, visitor);
    json.end_array();
  });
  json.end_array();
  json.key("call").begin_array(Layout::compact);
  emission.outer.each_node(view, [&](uint32_t call, uint32_t) { json.value(call); });
  json.end_array();
  json.key("outer").begin_array(Layout::compact);
  emission.outer.each_node(view, [&](uint32_t, uint32_t outer) { json.value(outer); });
  json.end_array();
  json.end_object();
}
}  // namespace

void emit_sites(Emission& emission) {
  emission.json.key("sites").begin_array();
  size_t shown = 0;
  for (uint32_t index : emission.graded.listed) {
    if (emission.json.failed() || shown == emission.input.most_sites) break;
    emit_site(emission, index, shown < OuterStacks::kWholeStacks);
    ++shown;
  }
  emission.json.end_array();
  if (shown < emission.graded.listed.size())
    emission.json.member("sites_omitted", uint64_t{emission.graded.listed.size() - shown});
  if (!emission.outer.empty()) emit_outer_stacks(emission);
}

void emit_descriptors(Emission& emission) {
  JsonText& json = emission.json;
  json.key("descriptors").begin_array();
  uint32_t shown = 0;
  uint32_t omitted = 0;
  // What nobody can explain comes first: it is what the list is for.
  for (int round = 0; round < 2; ++round) {
    for (const GradedFd& fd : emission.graded.fds) {
      bool belongs_to_site = fd.fd_class == FdClass::held && fd.site != 0;
      if (belongs_to_site || (fd.fd_class == FdClass::unattributed) != (round == 0)) continue;
      if (++shown > kMaxDescriptors) {
        ++omitted;
        continue;
      }
      json.begin_object(Layout::compact);
      json.member("fd", fd.fd);
      json.member("origin", class_name(fd.fd_class));
      emit_target(emission, fd);
      if (fd.site != 0) json.member("site", fd.site);
      json.end_object();
    }
  }
  json.end_array();
  if (omitted > 0) json.member("descriptors_omitted", omitted);
}

std::string_view error_name(int error) {
  switch (error) {
    case EMFILE:
      return "EMFILE";
    case ENFILE:
      return "ENFILE";
    case ENOMEM:
      return "ENOMEM";
    case EAGAIN:
      return "EAGAIN";
    case ENOSPC:
      return "ENOSPC";
    case EPERM:
      return "EPERM";
    default:
      return {};
  }
}

void emit_failures(Emission& emission) {
  JsonText& json = emission.json;
  const ledger::View& view = emission.view();
  const ledger::Header& header = view.header();
  json.key("failures").begin_array();
  for (uint32_t index = 0; index < view.failure_count(); ++index) {
    const ledger::Failure* failure = view.failure(index);
    uint64_t count = failure ? failure->count.load(std::memory_order_acquire) : 0;
    if (count == 0) continue;
    json.begin_object();
    json.member("door", emission.graded.door(failure->door));
    json.member("kind", kind_name(static_cast<Kind>(failure->kind < ledger::kKindCount ? failure->kind : 0)));
    std::string_view name = error_name(failure->error);
    base::FixedText<32> number;
    if (name.empty()) name = number.add("errno ").add_number(failure->error).text();
    json.member("error", name);
    json.member("count", count);
    uint64_t after =
        failure->first_ns > header.started_monotonic_ns ? failure->first_ns - header.started_monotonic_ns : 0;
    char time[32];
    json.member("first", format_time(header.started_realtime_ns + after, time));
    json.member("first_after_ns", after);
    json.member("live_then", failure->live_then);
    json.member("thread", failure->tid);
    bool cut = emit_stack(emission, failure->node);
    json.member("truncated", cut || failure->truncated != 0);
    json.end_object();
  }
  json.end_array();
}

}  // namespace unfreed::report
