#include <algorithm>

#include "report/graded.h"

namespace unfreed::report {

namespace {

using ledger::FdOrigin;

/// A descriptor as the kernel listed it.
struct Listed {
  int32_t fd;
  uint32_t index;
};

/// The kernel's list in order of number, each number once (a forged list may hold anything).
std::span<Listed> read_kernel_list(Scratch& scratch, const Graded& graded) {
  const ledger::View& view = *graded.view;
  std::span<Listed> list = scratch.take<Listed>(graded.reconciled ? view.kernel_fd_count() : 0);
  size_t count = 0;
  for (uint32_t index = 0; index < list.size(); ++index) {
    const ledger::KernelFd* record = view.kernel_fd(index);
    if (record && record->fd >= 0) list[count++] = {record->fd, index};
  }
  list = list.first(count);
  auto before = [](const Listed& left, const Listed& right) {
    return left.fd != right.fd ? left.fd < right.fd : left.index < right.index;
  };
  if (!std::is_sorted(list.begin(), list.end(), before)) std::sort(list.begin(), list.end(), before);
  auto same = [](const Listed& left, const Listed& right) { return left.fd == right.fd; };
  return list.first(static_cast<size_t>(std::unique(list.begin(), list.end(), same) - list.begin()));
}

bool is_standard(int32_t fd) { return fd <= 2; }

FdClass classify(const Graded& graded, const GradedFd& fd) {
  switch (fd.origin) {
    case FdOrigin::inherited:
      return FdClass::inherited;
    case FdOrigin::libc:
      return FdClass::libc;
    case FdOrigin::ignored:
      return FdClass::ignored;
    case FdOrigin::acquired:
    case FdOrigin::received:
      if (fd.site != 0 && graded.sites[fd.site].libc) return FdClass::libc;
      return is_standard(fd.fd) ? FdClass::standard : FdClass::held;
    default:
      return is_standard(fd.fd) ? FdClass::standard : FdClass::unattributed;
  }
}

/// Joins one number's record and the kernel's word on it. False when it is not open for anybody.
bool join(const Graded& graded, int32_t number, const ledger::FdRecord* record, uint32_t kernel, GradedFd& out) {
  uint64_t word = record ? record->word.load(std::memory_order_acquire) : 0;
  if (word == 0 && kernel == kNoIndex) return false;
  out = GradedFd{};
  out.fd = number;
  out.kernel = kernel;
  if (word != 0) {
    out.origin = ledger::fd_origin(word);
    out.serial = ledger::fd_serial(word);
    out.acquired_ns = record->acquired_ns;
    out.tid = record->tid;
    out.owner = record->owner_kind <= static_cast<uint32_t>(ledger::FdOwner::message_queue)
                    ? static_cast<uint8_t>(record->owner_kind)
                    : uint8_t{0};
    uint32_t site = ledger::fd_site(word);
    if (site < graded.sites.size() && graded.sites[site].valid && graded.sites[site].kind == ledger::Kind::fd)
      out.site = site;
  }
  out.fd_class = classify(graded, out);
  // Taken after the kernel was asked: that it is not on the list means nothing.
  bool is_later = out.acquired_ns > graded.view->header().reconciled_monotonic_ns;
  if (graded.reconciled && kernel == kNoIndex && !is_later) out.fd_class = FdClass::closed_unseen;
  return true;
}

/// Walks both lists in order of number.
size_t reconcile(const Graded& graded, std::span<const Listed> list, std::span<GradedFd> out) {
  uint32_t table_end = graded.view->fd_count();
  size_t count = 0;
  size_t at = 0;
  for (uint32_t number = 0; number < table_end && count < out.size(); ++number) {
    bool listed = at < list.size() && list[at].fd == static_cast<int32_t>(number);
    uint32_t kernel = listed ? list[at++].index : kNoIndex;
    if (join(graded, static_cast<int32_t>(number), graded.view->fd(number), kernel, out[count])) ++count;
  }
  for (; at < list.size() && count < out.size(); ++at)
    if (join(graded, list[at].fd, nullptr, list[at].index, out[count])) ++count;
  return count;
}

void total(Graded& graded) {
  FdTotals& totals = graded.fd;
  for (const GradedFd& fd : graded.fds) {
    switch (fd.fd_class) {
      case FdClass::held:
        ++totals.live;
        if (fd.origin == FdOrigin::received) ++totals.received;
        break;
      case FdClass::inherited:
        ++totals.inherited;
        break;
      case FdClass::unattributed:
        ++totals.unattributed;
        break;
      case FdClass::libc:
        ++totals.libc;
        break;
      case FdClass::ignored:
        ++totals.ignored;
        break;
      case FdClass::standard:
        ++totals.standard;
        break;
      case FdClass::closed_unseen:
        ++totals.closed_unseen;
        continue;
    }
    ++totals.open;
  }
}

/// Only what counts as held belongs to its site's objects.
uint32_t object_site(const GradedFd& fd) { return fd.fd_class == FdClass::held ? fd.site : 0; }

}  // namespace

void grade_fds(Scratch& scratch, Graded& graded) {
  std::span<Listed> list = read_kernel_list(scratch, graded);
  std::span<GradedFd> fds = scratch.take<GradedFd>(size_t{graded.view->fd_count()} + list.size());
  graded.fds = fds.first(reconcile(graded, list, fds));
  total(graded);
  std::sort(graded.fds.begin(), graded.fds.end(), [](const GradedFd& left, const GradedFd& right) {
    if (object_site(left) != object_site(right)) return object_site(left) < object_site(right);
    // A descriptor without a site stands in the order of its number.
    if (object_site(left) == 0 || left.serial == right.serial) return left.fd < right.fd;
    return left.serial < right.serial;
  });
  for (uint32_t index = 0; index < graded.fds.size(); ++index) {
    uint32_t owner = object_site(graded.fds[index]);
    if (owner == 0) continue;
    GradedSite& site = graded.sites[owner];
    if (site.objects++ == 0) site.first_object = index;
    ++site.live;
  }
}

}  // namespace unfreed::report
