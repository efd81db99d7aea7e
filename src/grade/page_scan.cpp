#include "grade/page_scan.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/syscall.h"

namespace unfreed::grade {

namespace {

constexpr uintptr_t kPage = 4096;
constexpr size_t kEntries = 4096;  ///< pages asked about at once
constexpr size_t kCopyBytes = 64 * 1024;
/// A part as small as that is read without asking which of its pages are there.
constexpr size_t kSmall = 16 * kPage;
/// What is scanned where the kernel does not say.
constexpr size_t kMostUnknown = size_t{256} << 20;

}  // namespace

PageScan::~PageScan() {
  if (page_map_ >= 0) base::close_file(page_map_);
}

bool PageScan::prepare() {
  entries_ = entry_memory_.reserve_array<uint64_t>(kEntries);
  copy_ = copy_memory_.reserve_array<uintptr_t>(kCopyBytes / sizeof(uintptr_t));
  page_map_ = base::open_file("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  return entries_ && copy_;
}

/// `entry`: of /proc/PID/pagemap (admin-guide/mm/pagemap.rst in the kernel's documentation). Of a private mapping of a
/// file, pages that were never written to are still the file's.
bool PageScan::is_there(uint64_t entry, const Mapping& mapping) const {
  constexpr uint64_t kPresent = uint64_t{1} << 63, kSwapped = uint64_t{1} << 62, kOfFile = uint64_t{1} << 61;
  return entry & (kPresent | kSwapped) && !(mapping.use == MappingUse::file && entry & kOfFile);
}

/// Calls `visit(low, high)` for each run of pages that are there. False: cannot be found out.
template <class Visit>
bool PageScan::each_run(const Mapping& mapping, uintptr_t low, uintptr_t high, Visit visit) {
  uintptr_t run = 0;
  auto* residency = reinterpret_cast<uint8_t*>(entries_);
  for (uintptr_t from = low & ~(kPage - 1); from < high;) {
    size_t pages = std::min<size_t>(kEntries, (high - from + kPage - 1) / kPage);
    if (mapping.shared) {
      if (base::raw_syscall(SYS_mincore, static_cast<long>(from), static_cast<long>(pages * kPage),
                            reinterpret_cast<long>(residency)) != 0)
        return false;
    } else {
      long got = base::raw_syscall(SYS_pread64, page_map_, reinterpret_cast<long>(entries_),
                                   static_cast<long>(pages * sizeof(uint64_t)),
                                   static_cast<long>(from / kPage * sizeof(uint64_t)));
      if (got != static_cast<long>(pages * sizeof(uint64_t))) return false;
    }
    for (size_t at = 0; at < pages; ++at, from += kPage) {
      bool there = mapping.shared ? residency[at] & 1 : is_there(entries_[at], mapping);
      if (there && !run) run = from;
      if (there || !run) continue;
      visit(std::max(run, low), from);
      run = 0;
    }
  }
  if (run) visit(std::max(run, low), high);
  return true;
}

void PageScan::read(const Mapping& mapping, uintptr_t low, uintptr_t high, const RootPart& part) {
  low = (low + sizeof(uintptr_t) - 1) & ~(sizeof(uintptr_t) - 1);
  if (mapping.use != MappingUse::file && !mapping.shared) {
    if (low >= high) return;
    if (mapping.executable)
      graph_.scan_code({reinterpret_cast<const std::byte*>(low), high - low}, part);
    else
      graph_.scan_root(reinterpret_cast<const uintptr_t*>(low), (high - low) / sizeof(uintptr_t), part, low);
    return;
  }
  while (low < high) {
    size_t bytes = std::min<size_t>(kCopyBytes, high - low);
    long got = base::copy_memory(0, low, copy_, bytes);
    if (got > 0) graph_.scan_root(copy_, static_cast<size_t>(got) / sizeof(uintptr_t), part, low);
    // Past the end of a file that has got shorter there is nothing.
    low = got == static_cast<long>(bytes) ? low + bytes
                                          : (low + static_cast<uintptr_t>(std::max(got, 0L))) / kPage * kPage + kPage;
  }
}

bool PageScan::scan(const Mapping& mapping, uintptr_t low, uintptr_t high, const RootPart& part) {
  auto read_run = [&](uintptr_t from, uintptr_t to) { read(mapping, from, to, part); };
  bool is_small = high - low <= kSmall && !mapping.shared && mapping.use != MappingUse::file;
  if (!is_small && (mapping.shared || page_map_ >= 0) && each_run(mapping, low, high, read_run)) return true;
  if (mapping.shared || high - low > kMostUnknown) return false;
  read_run(low, high);
  return true;
}

}  // namespace unfreed::grade
