// Sites with their objects, and descriptors that belong to no site.
#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "evaluate/accepted.h"
#include "evaluate/build.h"
#include "evaluate/places.h"
#include "kernel/socket_text.h"

namespace unfreed::report {

namespace {

using ledger::Kind;

/// Objects listed of a site: so many of the oldest, and of the newest.
constexpr uint32_t kObjectsAtEachEnd = 16;
/// Descriptors listed that belong to no site.
constexpr uint32_t kMostDescriptors = 256;

Grade grade_of(const EvaluatedSite& site) {
  if (site.libc || (site.live == 0 && site.closed_by_gc == 0)) return Grade::informational;
  if (site.lost || site.live == 0) return Grade::leaked;
  return site.kind == Kind::thread || site.kind == Kind::child ? Grade::leaked : Grade::held;
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

void describe_fd(Build& build, const EvaluatedFd& fd, Object& out) {
  out.fd = fd.fd;
  describe_target(build, fd, out.target, out.flags);
  out.thread = fd.tid;
  if (fd.goroutine) out.goroutine = fd.goroutine;
  out.age_ns = build.age_ns(fd.acquired_ns);
  out.owner = owner_name(fd.owner);
  out.lost = fd.lost;
  if (fd.origin == ledger::FdOrigin::received) out.origin = "received";
}

void describe_thread(Build& build, const EvaluatedThread& thread, Object& out) {
  out.thread = thread.tid;
  out.name = build.arena.copy(name_of(thread.name));
  out.state = thread.finished ? "finished" : "running";
  out.detached = thread.detached;
  out.lost = thread.lost;
  out.created_by = thread.creator_tid;
  out.age_ns = build.age_ns(thread.started_ns);
  if (thread.finished) out.finished_ago_ns = build.age_ns(thread.finished_ns);
  out.start_routine = build.stacks.function_at(thread.start_module, thread.start_offset);
}

void describe_handle(Build& build, const EvaluatedHandle& handle, Object& out) {
  const ledger::HandleRecord* record = build.view().handle(handle.record);
  if (!record) return;
  out.handle = record->id;
  out.target = build.arena.copy(text_of(record->target, sizeof record->target));
  out.thread = record->tid;
  out.age_ns = build.age_ns(record->acquired_ns);
  if (record->bytes) out.bytes = record->bytes;
}

void describe_objects(Build& build, const Tests& tests, const EvaluatedSite& site, Site& out) {
  bool is_long = site.objects > 2 * kObjectsAtEachEnd;
  uint32_t kept = is_long ? 2 * kObjectsAtEachEnd : site.objects;
  if (kept && !out.objects.reserve(build.arena, kept)) kept = 0;
  for (uint32_t at = 0; at < kept; ++at) {
    uint32_t index = site.first_object + (is_long && at >= kObjectsAtEachEnd ? site.objects - kept + at : at);
    Object& object = *out.objects.add(build.arena);
    if (site.kind == Kind::fd)
      describe_fd(build, build.evaluation.fds[index], object);
    else if (site.kind == Kind::child)
      describe_child(build, build.evaluation.children[index], object);
    else if (site.kind == Kind::thread)
      describe_thread(build, build.evaluation.threads[index], object);
    else if (is_handle_kind(site.kind))
      describe_handle(build, build.evaluation.handles[index], object);
    object.test = tests.of_object(build, site.kind, index);
  }
  out.objects_omitted = site.objects - kept;
}

/// What has been read of all sites at once.
struct Known {
  HeapAges ages;
  Tests tests;
  Histories histories;
};

void describe_site(Build& build, const Known& known, uint32_t index, const ledger::Site& record, Site& out) {
  const EvaluatedSite& site = build.evaluation.sites[index];
  out.id = index;
  out.kind = site.kind;
  out.grade = grade_of(site);
  static_cast<Losses&>(out) = site;
  out.live = site.live;
  out.bytes = site.bytes;
  out.total = site.total;
  out.total_bytes = site.total_bytes;
  out.closed_by_gc = site.closed_by_gc;
  out.peak = site.peak;
  out.at_peak = site.at_peak;
  out.running = site.running;
  out.growing = is_growing(site.kind, site.live + site.running, site.peak, site.total);
  out.acquired_by = build.function_name(record.hook);
  out.signature = site.signature;
  out.known_by = site.known_by;
  bool cut = false;
  out.stack = build.stacks.stack(record.node, cut);
  out.truncated = cut || (record.flags & ledger::kSiteTruncated);
  out.overflow = record.flags & ledger::kSiteOverflow;
  if (site.libc) out.owner = "libc";
  if (record.first_ns != 0) out.first_age_ns = build.age_ns(record.first_ns);
  build_ages(build, known.ages, site, out);
  build_tests(build, known.tests, known.ages, site, out);
  build_history(build, known.histories, record, out);
  describe_objects(build, known.tests, site, out);
  out.suppressed_by = suppression_text(build, site.suppression);
  out.exceeds = suppression_text(build, site.exceeds);
}

Text class_name(FdClass fd_class) {
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

}  // namespace

Text owner_name(uint32_t kind) {
  constexpr Text kNames[] = {"", "file_stream", "directory_stream", "popen_stream", "message_queue"};
  return kind < std::size(kNames) ? kNames[kind] : Text();
}

Text suppression_text(const Build& build, uint32_t suppression) {
  if (suppression == kNoIndex) return {};
  if (suppression >= kFirstBuiltIn) return built_in_reason(suppression);
  return build.input.suppressions[suppression].text;
}

namespace {
/// The process is gone, so the kernel does not list it: name it as it was acquired.
void describe_acquired_target(Build& build, const EvaluatedFd& fd, Text& target) {
  const ledger::FdRecord* record = build.view().fd(static_cast<uint32_t>(fd.fd));
  if (!record || record->target.serial.load(std::memory_order_acquire) != fd.serial) return;
  const ledger::FdTarget& known = record->target;
  size_t bytes = std::min<size_t>(known.bytes, sizeof known.value);
  base::FixedText<sizeof known.value + 32> text;
  switch (static_cast<ledger::FdTargetForm>(known.form)) {
    case ledger::FdTargetForm::path:
      text.add(known.cut ? "…" : "").add({known.value, bytes});
      break;
    case ledger::FdTargetForm::peer:
    case ledger::FdTargetForm::address: {
      bool is_peer = known.form == static_cast<uint8_t>(ledger::FdTargetForm::peer);
      sockaddr_storage address{};
      std::memcpy(&address, known.value, bytes);
      add_address(address, bytes, text.add(is_peer ? "socket -> " : "socket "));
      break;
    }
    default:
      return;
  }
  target = build.arena.copy(text.text());
}
}  // namespace

void describe_target(Build& build, const EvaluatedFd& fd, Text& target, List<Text>& flags) {
  const ledger::KernelFd* kernel = fd.kernel == kNoIndex ? nullptr : build.view().kernel_fd(fd.kernel);
  if (!kernel) return describe_acquired_target(build, fd, target);
  target = build.view().text(kernel->target);
  if (kernel->flags & ledger::kKernelFdCloexec) flags.add(build.arena, "cloexec");
  uint32_t access = kernel->status_flags & O_ACCMODE;
  if (!(kernel->status_flags & O_PATH))
    flags.add(build.arena, access == O_RDONLY ? "read" : access == O_WRONLY ? "write" : "read_write");
  for (const StatusFlag& flag : kStatusFlags)
    if ((kernel->status_flags & flag.bits) == flag.bits) flags.add(build.arena, flag.name);
}

void build_sites(Build& build) {
  std::span<const uint32_t> listed = build.evaluation.listed;
  uint32_t most = build.input.most_sites;
  uint64_t listed_of[ledger::kKindCount] = {};
  List<Site>& sites = build.out.sites;
  size_t count = most ? std::min<size_t>(listed.size(), size_t{most} * std::size(listed_of)) : listed.size();
  if (!sites.reserve(build.arena, count)) {
    build.out.sites_omitted = listed.size();
    return;
  }
  Known known{read_heap_ages(build), read_tests(build), read_histories(build)};
  for (uint32_t index : listed) {
    const ledger::Site* record = build.view().site(index);
    if (!record) continue;  // a live ledger's table does not shrink: only a forged one's does
    if (listed_of[static_cast<size_t>(build.evaluation.sites[index].kind)]++ >= most && most)
      ++build.out.sites_omitted;
    else
      describe_site(build, known, index, *record, *sites.add(build.arena));
  }
}

void build_descriptors(Build& build) {
  // Unexplained ones come first: the list is there for them.
  for (bool unattributed : {true, false}) {
    for (const EvaluatedFd& fd : build.evaluation.fds) {
      bool belongs_to_site = fd.fd_class == FdClass::held && fd.site != 0;
      if (belongs_to_site || (fd.fd_class == FdClass::unattributed) != unattributed) continue;
      Descriptor* one =
          build.out.descriptors.size() < kMostDescriptors ? build.out.descriptors.add(build.arena) : nullptr;
      if (!one) {
        ++build.out.descriptors_omitted;
        continue;
      }
      one->fd = fd.fd;
      one->origin = class_name(fd.fd_class);
      describe_target(build, fd, one->target, one->flags);
      one->site = fd.site;
    }
  }
}

}  // namespace unfreed::report
