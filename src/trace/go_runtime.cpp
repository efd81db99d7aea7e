#include "trace/go_runtime.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/scan.h"
#include "base/syscall.h"

namespace unfreed::trace {

namespace {

// Read from the debug information of programs built with go1.19.8, 1.20.14, 1.21.13, 1.22.12, 1.23.12, 1.24.11, 1.25.5,
// 1.26.8 and 1.27.3 (structures runtime.g and runtime.gobuf). They are the same on all 64-bit processors.
constexpr GoOffsets kOffsets[] = {
    // versions  sp  pc  bp   call_pc bp   status id   wait_since reason creator created_at starts_at
    {19, 20, 56, 64, 104, 120, 0, 144, 152, 168, 176, 0, 296, 312},
    {21, 22, 56, 64, 104, 120, 0, 144, 152, 168, 176, 272, 280, 296},
    {23, 24, 56, 64, 104, 120, 128, 152, 160, 176, 184, 280, 288, 304},
    {25, 25, 56, 64, 96, 112, 120, 144, 152, 168, 176, 272, 280, 296},
    {26, 27, 56, 64, 96, 112, 120, 144, 152, 168, 176, 280, 288, 304},
};
constexpr size_t kRoutineBytes = 320;  ///< as far as they reach

constexpr size_t kMostRoutines = 4'000'000;
constexpr uint32_t kIdle = 0, kRunning = 2, kSystemCall = 3, kDead = 6, kDeadExtra = 11;
constexpr uint32_t kScanning = 0x1000;  ///< a bit of the status: the garbage collector reads the stack

/// The version in .go.buildinfo, "" none: a header of 32 bytes, then its length and the text (Go 1.18 and newer).
std::string read_version(const elf::File& file) {
  constexpr std::string_view kMagic = "\xff Go buildinf:";
  elf::Section section;
  char bytes[128] = {};
  if (!file.find_section(".go.buildinfo", section) || section.bytes < 34) return {};
  size_t size = std::min<size_t>(section.bytes, sizeof bytes);
  if (!file.bytes().read(section.offset, bytes, size) || std::string_view(bytes, kMagic.size()) != kMagic) return {};
  constexpr char kInline = 2;
  auto length = static_cast<uint8_t>(bytes[32]);
  if (!(bytes[15] & kInline) || length >= 0x80 || 33u + length > size) return {};
  return {bytes + 33, length};
}

/// Nobody's: also those that wait for threads of C code to call Go (Go 1.26; dead before).
bool is_unused(uint32_t status) { return status == kIdle || status == kDead || status == kDeadExtra; }

template <class Value>
bool read_value(int pid, uintptr_t address, Value& out) {
  return base::copy_memory(pid, address, &out, sizeof out) == sizeof out;
}

/// As Go's runtime lays out a slice or a string (the last is not a string's).
struct Slice {
  uint64_t data, length, capacity;
};

template <class Value>
Value value_at(const char* routine, uint16_t offset) {
  Value value;
  std::memcpy(&value, routine + offset, sizeof value);
  return value;
}

}  // namespace

const GoOffsets* find_go_offsets(std::string_view version) {
  constexpr std::string_view kStart = "go1.";
  uint64_t number = 0;
  if (!version.starts_with(kStart)) return nullptr;
  version.remove_prefix(kStart.size());
  if (!base::take_number(version, number)) return nullptr;
  for (const GoOffsets& one : kOffsets)
    if (number >= one.first_version && number <= one.last_version) return &one;
  return nullptr;
}

GoRuntime::GoRuntime(const elf::File& file, uintptr_t bias) {
  std::string version = read_version(file);
  offsets_ = find_go_offsets(version);
  reason_.clear();
  if (!offsets_) {
    reason_ = version.empty() ? "the program does not say which version of Go it was built with"
                              : "where Go's runtime keeps them is not known for " + version;
    return;
  }
  for (uint32_t index = 0; index < file.segment_count(); ++index) {
    elf::Segment segment;
    constexpr uint32_t kLoaded = 1, kWritable = 2;
    if (file.segment(index, segment) && segment.type == kLoaded && segment.flags & kWritable)
      variables_.push_back({bias + segment.address, bias + segment.address + segment.memory_bytes});
  }
  elf::Section symbols, names;
  if (!file.find_section(".symtab", symbols) || !file.section(symbols.link, names)) return;
  constexpr uint64_t kMostNames = 1 << 30;
  elf::Range table{symbols.offset, symbols.bytes};
  std::vector<char> texts(names.bytes < kMostNames ? names.bytes : 0);
  if (texts.empty() || !file.bytes().read(names.offset, texts.data(), texts.size())) return;
  auto is_named = [&](const elf::Symbol& symbol, std::string_view name) {
    if (symbol.name >= texts.size()) return false;
    auto text = std::string_view(texts.data(), texts.size()).substr(symbol.name);
    return text.starts_with(name) && text.size() > name.size() && text[name.size()] == '\0';
  };
  for (uint64_t index = 0; index < symbols.bytes / file.symbol_bytes(); ++index) {
    elf::Symbol symbol;
    constexpr uint8_t kObject = 1;
    if (!file.symbol(table, index, symbol) || (symbol.info & 15) != kObject) continue;
    if (is_named(symbol, "runtime.allgs")) list_ = bias + symbol.value;
    if (is_named(symbol, "runtime.waitReasonStrings")) {
      wait_reasons_ = bias + symbol.value;
      wait_reason_count_ = symbol.bytes / 16;
    }
  }
}

uint64_t GoRuntime::running_on(int tid, const arch::TracedRegisters& registers) const {
  if (!offsets_) return 0;
  char routine[kRoutineBytes];
  if (!read_value(tid, registers.go_routine(), routine)) return 0;
  // The register is Go's only in Go's code, so it is believed if the thread is on that goroutine's stack.
  bool is_on_stack =
      value_at<uint64_t>(routine, 0) < registers.sp() && registers.sp() <= value_at<uint64_t>(routine, 8);
  return is_on_stack ? value_at<uint64_t>(routine, offsets_->id) : 0;
}

bool GoRuntime::read_list(int pid, uintptr_t place, std::vector<uintptr_t>& out) const {
  Slice slice;
  if (!read_value(pid, place, slice) || !slice.length || slice.length > slice.capacity) return false;
  if (slice.capacity > kMostRoutines || slice.data % sizeof(uintptr_t)) return false;
  out.resize(slice.length);
  auto bytes = static_cast<long>(slice.length * sizeof(uintptr_t));
  return base::copy_memory(pid, slice.data, out.data(), static_cast<size_t>(bytes)) == bytes;
}

/// Goroutine 1 comes first, as it is started first, and does not end. Stacks have sizes that are powers of two; what
/// has ended may have none.
bool GoRuntime::is_list(int pid, const std::vector<uintptr_t>& list) const {
  constexpr size_t kLookedAt = 16;
  for (size_t at = 0; at < std::min(list.size(), kLookedAt); ++at) {
    char routine[kRoutineBytes];
    if (list[at] % sizeof(uintptr_t) || !read_value(pid, list[at], routine)) return false;
    auto low = value_at<uint64_t>(routine, 0), high = value_at<uint64_t>(routine, 8);
    auto id = value_at<uint64_t>(routine, offsets_->id);
    uint32_t status = value_at<uint32_t>(routine, offsets_->status) & ~kScanning;
    constexpr uint64_t kSmallestStack = 2048;
    bool has_stack = high > low && std::has_single_bit(high - low) && high - low >= kSmallestStack;
    bool is_over = is_unused(status);
    if (status > kDeadExtra || (!is_over && (!has_stack || !id))) return false;
    if (at == 0 && (is_over || id != 1)) return false;
  }
  return true;
}

/// Without symbols: among the program's variables.
bool GoRuntime::search_list(int pid, std::vector<uintptr_t>& out) {
  std::vector<char> piece(64 * 1024);
  for (const Variables& part : variables_) {
    for (uintptr_t from = part.start; from + sizeof(Slice) <= part.end;) {
      size_t bytes = std::min<size_t>(piece.size(), part.end - from);
      long got = base::copy_memory(pid, from, piece.data(), bytes);
      for (size_t at = 0; got >= 0 && at + sizeof(Slice) <= static_cast<size_t>(got); at += sizeof(uintptr_t)) {
        Slice slice;
        std::memcpy(&slice, piece.data() + at, sizeof slice);
        bool may_be = slice.data && slice.length && slice.length <= slice.capacity && slice.capacity <= kMostRoutines;
        if (!may_be || !read_list(pid, from + at, out) || !is_list(pid, out)) continue;
        list_ = from + at;
        return true;
      }
      if (bytes < piece.size()) break;
      from += bytes - sizeof(Slice) + sizeof(uintptr_t);
    }
  }
  return false;
}

bool GoRuntime::read_routine(int pid, uintptr_t place, GoRoutine& out) const {
  char routine[kRoutineBytes];
  if (!read_value(pid, place, routine)) return false;
  const GoOffsets& at = *offsets_;
  out = {};
  out.id = value_at<uint64_t>(routine, at.id);
  out.creator = at.creator ? value_at<uint64_t>(routine, at.creator) : 0;
  out.waiting_since_ns = value_at<int64_t>(routine, at.wait_since);
  out.status = value_at<uint32_t>(routine, at.status) & ~kScanning;
  out.wait_reason = value_at<uint8_t>(routine, at.wait_reason);
  out.created_at = value_at<uint64_t>(routine, at.created_at);
  out.starts_at = value_at<uint64_t>(routine, at.starts_at);
  out.stack_low = value_at<uint64_t>(routine, 0);
  out.stack_high = value_at<uint64_t>(routine, 8);
  if (out.status == kRunning) return true;
  out.sp = value_at<uint64_t>(routine, at.saved_sp);
  bool is_call = out.status == kSystemCall;
  out.pc = value_at<uint64_t>(routine, is_call ? at.call_pc : at.saved_pc);
  uint16_t bp = is_call ? at.call_bp : at.saved_bp;
  out.bp = bp ? value_at<uint64_t>(routine, bp) : 0;
  return true;
}

bool GoRuntime::list(int pid, std::vector<GoRoutine>& out) {
  out.clear();
  if (!offsets_) return false;
  std::vector<uintptr_t> places;
  bool is_found = list_ ? read_list(pid, list_, places) && is_list(pid, places) : search_list(pid, places);
  if (!is_found) {
    reason_ = "the list of Go's runtime was not found in its memory";
    return false;
  }
  reason_.clear();
  for (uintptr_t place : places) {
    GoRoutine routine;
    if (!read_routine(pid, place, routine)) continue;
    // Its structure waits for its next goroutine.
    if (is_unused(routine.status) || routine.id == 0) continue;
    out.push_back(routine);
  }
  return true;
}

std::string GoRuntime::wait_reason(int pid, uint8_t number) {
  Slice text{};
  char value[64];
  if (number >= wait_reason_count_) return {};
  if (base::copy_memory(pid, wait_reasons_ + number * 16u, &text, 16) != 16 || text.length > sizeof value) return {};
  auto length = static_cast<long>(text.length);
  return base::copy_memory(pid, text.data, value, text.length) == length ? std::string(value, text.length) : "";
}

}  // namespace unfreed::trace
