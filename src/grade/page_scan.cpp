#include "grade/page_scan.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <span>

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
/// Where each page has to be asked about, this takes a tenth of a second. ThreadSanitizer, for one, maps terabytes.
constexpr size_t kMostByPage = size_t{128} << 30;

// <linux/fs.h> has these from Linux 6.7 on.
struct PageRegion {
  uint64_t start, end, categories;
};
struct PageQuestion {
  uint64_t bytes, flags;
  uint64_t start, end, walked_to;
  uint64_t regions, most_regions, most_pages;
  uint64_t inverted, all_of, any_of, returned;
};
constexpr unsigned long kAskForPages = _IOWR('f', 16, PageQuestion);
constexpr uint64_t kFile = 1u << 2, kPresent = 1u << 3, kSwapped = 1u << 4;

}  // namespace

PageScan::~PageScan() {
  if (page_map_ >= 0) base::close_file(page_map_);
  if (memory_ >= 0) base::close_file(memory_);
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
  constexpr uint64_t kInMemory = uint64_t{1} << 63, kInSwap = uint64_t{1} << 62, kOfFile = uint64_t{1} << 61;
  return entry & (kInMemory | kInSwap) && !(mapping.use == MappingUse::file && entry & kOfFile);
}

/// By one question for many pages, which passes over holes of any size. False: the kernel cannot be asked so.
template <class Visit>
bool PageScan::each_known_run(const Mapping& mapping, uintptr_t low, uintptr_t high, Visit visit) {
  auto* regions = reinterpret_cast<PageRegion*>(entries_);
  PageQuestion question{};
  question.bytes = sizeof question;
  question.end = (high + kPage - 1) & ~(kPage - 1);
  question.regions = reinterpret_cast<uint64_t>(regions);
  question.most_regions = kEntries * sizeof *entries_ / sizeof *regions;
  question.any_of = question.returned = kPresent | kSwapped;
  if (mapping.use == MappingUse::file) question.inverted = question.all_of = kFile;
  for (question.start = low & ~(kPage - 1); question.start < question.end; question.start = question.walked_to) {
    long count =
        base::raw_syscall(SYS_ioctl, page_map_, static_cast<long>(kAskForPages), reinterpret_cast<long>(&question));
    if (count < 0 || question.walked_to <= question.start) return false;
    for (const PageRegion& region : std::span(regions, static_cast<size_t>(count)))
      visit(std::max<uintptr_t>(region.start, low), std::min<uintptr_t>(region.end, high),
            region.categories & kPresent ? Pages::present : Pages::maybe_guards);
  }
  return true;
}

/// Calls `visit(low, high)` for each run of pages that are there. False: cannot be found out.
template <class Visit>
bool PageScan::each_run(const Mapping& mapping, uintptr_t low, uintptr_t high, Visit visit) {
  if (!mapping.shared && each_known_run(mapping, low, high, visit)) return true;
  if (high - low > (mapping.readable ? kMostByPage : kMostUnknown)) return false;
  uintptr_t run = 0;
  auto* residency = reinterpret_cast<uint8_t*>(entries_);
  bool asks_mincore = mapping.shared || page_map_ < 0;
  // A kernel that has guards answers the question above, if it is one that may be asked.
  Pages kind = page_map_ < 0 ? Pages::maybe_guards : Pages::present;
  for (uintptr_t from = low & ~(kPage - 1); from < high;) {
    size_t pages = std::min<size_t>(kEntries, (high - from + kPage - 1) / kPage);
    if (asks_mincore) {
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
      bool there = asks_mincore ? residency[at] & 1 : is_there(entries_[at], mapping);
      if (there && !run) run = from;
      if (there || !run) continue;
      visit(std::max(run, low), from, kind);
      run = 0;
    }
  }
  if (run) visit(std::max(run, low), high, kind);
  return true;
}

/// The number of bytes copied to copy_, or an error's negative number.
long PageScan::copy(const Mapping& mapping, uintptr_t from, size_t bytes) {
  if (mapping.readable) return base::copy_memory(0, from, copy_, bytes);
  if (memory_ < 0) memory_ = base::open_file("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  return base::raw_syscall(SYS_pread64, memory_, reinterpret_cast<long>(copy_), static_cast<long>(bytes),
                           static_cast<long>(from));
}

bool PageScan::read(const Mapping& mapping, uintptr_t low, uintptr_t high, const RootPart& part, Pages pages) {
  low = (low + sizeof(uintptr_t) - 1) & ~(sizeof(uintptr_t) - 1);
  bool is_there_for_good = mapping.use == MappingUse::secret ||
                           (mapping.use != MappingUse::file && !mapping.shared && pages == Pages::present);
  if (mapping.readable && is_there_for_good) {
    if (low >= high) return true;
    if (mapping.executable)
      graph_.scan_code({reinterpret_cast<const std::byte*>(low), high - low}, part);
    else
      graph_.scan_root(reinterpret_cast<const uintptr_t*>(low), (high - low) / sizeof(uintptr_t), part, low);
    return true;
  }
  while (low < high) {
    size_t bytes = std::min<size_t>(kCopyBytes, high - low);
    long got = copy(mapping, low, bytes);
    if (got <= 0 && !mapping.readable) return false;
    auto size = static_cast<size_t>(std::max(got, 0L));
    if (mapping.executable && mapping.use != MappingUse::file)
      graph_.scan_code({reinterpret_cast<const std::byte*>(copy_), size}, part);
    else
      graph_.scan_root(copy_, size / sizeof(uintptr_t), part, low);
    // Past the end of a file that has got shorter there is nothing, nor is there in a guard.
    low = got == static_cast<long>(bytes) ? low + bytes : (low + size) / kPage * kPage + kPage;
  }
  return true;
}

bool PageScan::scan(const Mapping& mapping, uintptr_t low, uintptr_t high, const RootPart& part) {
  bool is_whole = true;
  auto read_run = [&](uintptr_t from, uintptr_t to, Pages pages) {
    is_whole = read(mapping, from, to, part, pages) && is_whole;
  };
  bool is_small = high - low <= kSmall && !mapping.shared && mapping.readable && mapping.use != MappingUse::file;
  bool can_ask = mapping.shared || page_map_ >= 0 || !mapping.readable;
  if (!is_small && can_ask && each_run(mapping, low, high, read_run)) return is_whole;
  if (!mapping.readable) return is_whole && high - low > kMostUnknown;  // mostly only reserved
  if (mapping.shared || high - low > kMostUnknown) return false;
  read_run(low, high, Pages::maybe_guards);
  return is_whole;
}

}  // namespace unfreed::grade
