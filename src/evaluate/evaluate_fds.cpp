#include <algorithm>

#include "evaluate/evaluation.h"
#include "ledger/fd_target.h"

namespace unfreed::report {

namespace {

using ledger::FdOrigin;

/// A descriptor as the kernel listed it.
struct Listed {
  int32_t fd;
  uint32_t index;
};

/// The kernel's list in order of number, each number once (a forged list may hold anything).
std::span<Listed> read_kernel_list(base::Arena& arena, const Evaluation& evaluation) {
  const ledger::View& view = *evaluation.view;
  std::span<Listed> list = arena.take_array<Listed>(evaluation.reconciled ? view.kernel_fd_count() : 0);
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

bool is_standard_number(int32_t fd) { return fd <= 2; }

/// Is it a standard stream (evaluation.h)?
bool is_standard(const Evaluation& evaluation, const EvaluatedFd& fd, const ledger::FdRecord* record) {
  if (!is_standard_number(fd.fd)) return false;
  if (!record || record->flags & ledger::kFdPlaced) return true;
  const ledger::KernelFd* kernel = fd.kernel == kNoIndex ? nullptr : evaluation.view->kernel_fd(fd.kernel);
  std::string_view target = kernel ? evaluation.view->text(kernel->target) : std::string_view();
  return ledger::is_standard_path(target.empty() ? ledger::opened_path(record->target, fd.serial) : target);
}

FdClass classify(const Evaluation& evaluation, const EvaluatedFd& fd, const ledger::FdRecord* record) {
  switch (fd.origin) {
    case FdOrigin::inherited:
      return FdClass::inherited;
    case FdOrigin::libc:
      return FdClass::libc;
    case FdOrigin::ignored:
      return FdClass::ignored;
    case FdOrigin::acquired:
    case FdOrigin::received:
      if (fd.site != 0 && evaluation.sites[fd.site].libc) return FdClass::libc;
      return is_standard(evaluation, fd, record) ? FdClass::standard : FdClass::held;
    default:
      return is_standard_number(fd.fd) ? FdClass::standard : FdClass::unattributed;
  }
}

/// Joins one number's record and the kernel's entry. False if it is open according to neither.
bool join(const Evaluation& evaluation, int32_t number, const ledger::FdRecord* record, uint32_t kernel,
          EvaluatedFd& out) {
  uint64_t word = record ? record->word.load(std::memory_order_acquire) : 0;
  if (word == 0 && kernel == kNoIndex) return false;
  out = EvaluatedFd{};
  out.fd = number;
  out.kernel = kernel;
  if (word != 0) {
    out.origin = ledger::fd_origin(word);
    out.serial = ledger::fd_serial(word);
    out.acquired_ns = record->acquired_ns;
    out.tid = record->tid;
    out.lost = evaluation.graded && record->lost_serial.load(std::memory_order_relaxed) == out.serial;
    out.owner = record->owner_kind <= static_cast<uint32_t>(ledger::FdOwner::message_queue)
                    ? static_cast<uint8_t>(record->owner_kind)
                    : uint8_t{0};
    out.goroutine = record->flags & ledger::kFdGoroutine ? record->owner : 0;
    uint32_t site = ledger::fd_site(word);
    if (site < evaluation.sites.size() && evaluation.sites[site].valid &&
        evaluation.sites[site].kind == ledger::Kind::fd)
      out.site = site;
  }
  out.fd_class = classify(evaluation, out, record);
  // Acquired after the kernel's list was read: its absence from the list means nothing.
  bool is_later = out.acquired_ns > evaluation.view->header().reconciled_monotonic_ns;
  if (evaluation.reconciled && kernel == kNoIndex && !is_later) out.fd_class = FdClass::closed_unseen;
  return true;
}

/// Walks both lists in order of number.
size_t reconcile(const Evaluation& evaluation, std::span<const Listed> list, std::span<EvaluatedFd> out) {
  uint32_t table_end = evaluation.view->fd_count();
  size_t count = 0;
  size_t at = 0;
  for (uint32_t number = 0; number < table_end && count < out.size(); ++number) {
    bool listed = at < list.size() && list[at].fd == static_cast<int32_t>(number);
    uint32_t kernel = listed ? list[at++].index : kNoIndex;
    if (join(evaluation, static_cast<int32_t>(number), evaluation.view->fd(number), kernel, out[count])) ++count;
  }
  for (; at < list.size() && count < out.size(); ++at)
    if (join(evaluation, list[at].fd, nullptr, list[at].index, out[count])) ++count;
  return count;
}

void total(Evaluation& evaluation) {
  Totals& totals = evaluation.of(Subject::fd);
  for (const EvaluatedFd& fd : evaluation.fds) {
    switch (fd.fd_class) {
      case FdClass::held:
        ++totals[Counter::live];
        ++totals[Counter::attributed];
        if (fd.origin == FdOrigin::received) ++totals[Counter::received];
        break;
      case FdClass::inherited:
        ++totals[Counter::inherited];
        break;
      case FdClass::unattributed:
        ++totals[Counter::live];
        ++totals[Counter::unattributed];
        break;
      case FdClass::libc:
        ++totals[Counter::libc];
        break;
      case FdClass::ignored:
        ++totals[Counter::ignored];
        break;
      case FdClass::standard:
        ++totals[Counter::standard];
        break;
      case FdClass::closed_unseen:
        ++totals[Counter::closed_unseen];
        continue;
    }
    ++totals[Counter::open];
  }
}

/// Only what counts as held belongs to its site's objects.
uint32_t object_site(const EvaluatedFd& fd) { return fd.fd_class == FdClass::held ? fd.site : 0; }

}  // namespace

void evaluate_fds(base::Arena& arena, Evaluation& evaluation) {
  std::span<Listed> list = read_kernel_list(arena, evaluation);
  std::span<EvaluatedFd> fds = arena.take_array<EvaluatedFd>(size_t{evaluation.view->fd_count()} + list.size());
  evaluation.fds = fds.first(reconcile(evaluation, list, fds));
  total(evaluation);
  std::sort(evaluation.fds.begin(), evaluation.fds.end(), [](const EvaluatedFd& left, const EvaluatedFd& right) {
    if (object_site(left) != object_site(right)) return object_site(left) < object_site(right);
    // A descriptor without a site stands in the order of its number.
    if (object_site(left) == 0 || left.serial == right.serial) return left.fd < right.fd;
    return left.serial < right.serial;
  });
  for (uint32_t index = 0; index < evaluation.fds.size(); ++index) {
    uint32_t owner = object_site(evaluation.fds[index]);
    if (owner == 0) continue;
    EvaluatedSite& site = evaluation.sites[owner];
    if (site.objects++ == 0) site.first_object = index;
    ++site.live;
  }
}

}  // namespace unfreed::report
