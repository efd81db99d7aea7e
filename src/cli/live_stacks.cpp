#include "cli/live_stacks.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "base/regular_file.h"
#include "base/syscall.h"
#include "cli/ledger_files.h"
#include "elf/opened.h"
#include "ledger/composer.h"
#include "names/elf_symbols.h"
#include "unwind/waiting_thread.h"
#include "unwind/walk.h"

namespace unfreed::cli {

namespace {

constexpr size_t kMostThreads = 256;
/// A thread that does not wait when it is looked at is looked at again: most do a little and wait again.
constexpr int kMostLooks = 10;
constexpr useconds_t kBetweenLooksUs = 2000;

/// A module of the process, its code and unwind tables laid out as the loader has them, from its file.
struct ModuleImage {
  uint32_t number = 0;  ///< in the ledger
  uintptr_t start = 0;  ///< in the process
  uintptr_t end = 0;
  uintptr_t bias = 0;
  std::string path;
  bool loaded = false;
  void* place = nullptr;
  size_t bytes = 0;
  unwind::Object object;
};

/// The walker asks a plain function: these are the modules of the one process that is looked at.
std::vector<ModuleImage>* g_modules;

/// Reads the program headers of an ELF file of this machine's kind.
std::vector<Elf64_Phdr> read_segments(int file) {
  Elf64_Ehdr header{};
  if (pread(file, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return {};
  bool is_elf = std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64;
  if (!is_elf || header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > 128) return {};
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  auto bytes = static_cast<ssize_t>(segments.size() * sizeof(Elf64_Phdr));
  if (pread(file, segments.data(), static_cast<size_t>(bytes), static_cast<off_t>(header.e_phoff)) != bytes) return {};
  return segments;
}

bool is_wanted(const Elf64_Phdr& segment) {
  return segment.p_type == PT_LOAD && !(segment.p_flags & PF_W) && segment.p_filesz > 0;
}

/// The range of addresses that the wanted segments take. False where they make no sense: the file is anybody's.
bool find_extent(const std::vector<Elf64_Phdr>& segments, uintptr_t& low, uintptr_t& high) {
  constexpr uint64_t kHighest = uint64_t{1} << 47;
  constexpr uint64_t kMostBytes = uint64_t{2} << 30;
  low = UINTPTR_MAX;
  high = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (!is_wanted(segment)) continue;
    if (segment.p_vaddr > kHighest || segment.p_filesz > kMostBytes || segment.p_offset > kHighest) return false;
    low = std::min<uintptr_t>(low, segment.p_vaddr);
    high = std::max<uintptr_t>(high, segment.p_vaddr + segment.p_filesz);
  }
  return low < high && high - low <= kMostBytes;
}

/// Reads the segments into memory of our own: a file that is mapped may be cut short under us.
bool read_image(int file, ModuleImage& out) {
  std::vector<Elf64_Phdr> segments = read_segments(file);
  uintptr_t low, high;
  if (!find_extent(segments, low, high)) return false;
  out.place = mmap(nullptr, high - low, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (out.place == MAP_FAILED) {
    out.place = nullptr;
    return false;
  }
  out.bytes = high - low;
  auto base = reinterpret_cast<uintptr_t>(out.place);
  uintptr_t header = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_GNU_EH_FRAME && segment.p_vaddr >= low && segment.p_vaddr < high) header = segment.p_vaddr;
    if (!is_wanted(segment)) continue;
    auto* to = reinterpret_cast<std::byte*>(base + (segment.p_vaddr - low));
    for (uint64_t done = 0; done < segment.p_filesz;) {
      ssize_t got = pread(file, to + done, segment.p_filesz - done, static_cast<off_t>(segment.p_offset + done));
      if (got <= 0) return false;
      done += static_cast<uint64_t>(got);
    }
  }
  out.object.image = {base, base + out.bytes};
  out.object.shift = static_cast<intptr_t>(base - low - out.bias);
  out.object.eh_frame_hdr = header ? base + (header - low) : 0;
  out.object.bias = out.bias;
  return true;
}

/// The modules by where they lie; each is read when a stack first leads into it.
std::vector<ModuleImage> list_modules(const ledger::View& view, int pid) {
  std::vector<ModuleImage> modules;
  std::string root = process_folder(pid) + "/root";
  for (uint32_t number = 1; number < view.module_count(); ++number) {
    const ledger::Module* module = view.module(number);
    if (!module || module->start >= module->end) continue;
    ModuleImage& image = modules.emplace_back();
    image.number = number;
    image.start = module->start;
    image.end = module->end;
    image.bias = module->base;
    image.path = root + std::string(view.text(module->path));
  }
  return modules;
}

bool find_module(uintptr_t pc, unwind::Object& out) {
  // A module loaded later stands behind in the table: of two at one address it is the one that is there.
  for (auto image = g_modules->rbegin(); image != g_modules->rend(); ++image) {
    if (pc < image->start || pc >= image->end) continue;
    if (!image->loaded) {
      image->loaded = true;
      base::RegularFile opened = base::open_regular_file(image->path.c_str(), elf::kMostObjectBytes);
      int file = static_cast<int>(opened.fd);
      if (file >= 0 && !read_image(file, *image)) image->object = {};
      if (file >= 0) close(file);
    }
    uintptr_t place = pc + static_cast<uintptr_t>(image->object.shift);
    if (place < image->object.image.low || place >= image->object.image.high) return false;
    out = image->object;
    return true;
  }
  return false;
}

uint32_t module_number(const unwind::Object& object) {
  for (const ModuleImage& image : *g_modules)
    if (image.object.image.low == object.image.low) return image.number;
  return 0;
}

constexpr size_t kMostFrames = 512;
constexpr size_t kUsualFrames = 128;

/// What a stack is read into.
struct Work {
  std::byte stack[unwind::kMostWaitingBytes];
  unwind::Frame frames[kMostFrames];
  ledger::FrameKey keys[kMostFrames];
};

/// Walks the stack of one thread into its record.
unwind::WaitingWalk take_stack(const ledger::View& view, ledger::Composer& composer, int pid,
                               ledger::ThreadRecord& record, Work& work) {
  uint32_t depth = view.header().depth;
  std::span<unwind::Frame> frames =
      std::span(work.frames).first(depth ? std::min<size_t>(depth, kMostFrames) : kUsualFrames);
  unwind::WalkResult walked;
  unwind::WaitingThread thread{pid, record.tid, record.stack_low, record.stack_high};
  unwind::WaitingWalk result = walk_waiting(thread, work.stack, 0, frames, walked);
  if (result != unwind::WaitingWalk::done) return result;
  for (size_t at = 0; at < walked.frames; ++at) {
    const ledger::Module* module = frames[at].module ? view.module(frames[at].module) : nullptr;
    work.keys[at] = {(module ? frames[at].module : 0) | (frames[at].exact_pc ? ledger::kNodeExactPc : 0),
                     frames[at].pc - (module ? module->base : 0)};
  }
  bool truncated = walked.truncated;
  record.current_node = composer.stack(std::span(work.keys).first(walked.frames), truncated);
  record.current_truncated = truncated;
  record.current_ns = base::monotonic_ns();
  return result;
}

}  // namespace

std::optional<std::string> take_live_stacks(ledger::Copy& copy, int pid, LiveStacks which) {
  std::vector<ModuleImage> modules = list_modules(copy.view(), pid);
  g_modules = &modules;
  unwind::set_object_finder(find_module);
  static const bool can_walk = unwind::prepare(module_number);
  ledger::Composer composer(copy.writer());
  bool prepared = can_walk && composer.prepare(ledger::Existing::left_alone);
  unwind::forget_code();
  std::vector<ledger::ThreadRecord*> wanted;
  uint64_t count = std::min<uint64_t>(copy.view().thread_count(), kMostThreads);
  for (uint64_t index = 0; prepared && index < count; ++index) {
    auto* record = copy.writer().touch<ledger::ThreadRecord>(ledger::SectionId::threads, index);
    if (!record || record->state.load() != static_cast<uint32_t>(ledger::ThreadState::running)) continue;
    if (which == LiveStacks::missing && record->current_ns != 0) continue;
    record->current_ns = 0;
    wanted.push_back(record);
  }
  bool refused = false;
  auto work = std::make_unique<Work>();
  for (int look = 0; look < kMostLooks && !wanted.empty(); ++look) {
    if (look > 0) usleep(kBetweenLooksUs);
    std::erase_if(wanted, [&](ledger::ThreadRecord* record) {
      unwind::WaitingWalk result = take_stack(copy.view(), composer, pid, *record, *work);
      refused = refused || result == unwind::WaitingWalk::refused;
      return result != unwind::WaitingWalk::moves;
    });
  }
  for (const ModuleImage& image : modules)
    if (image.place) munmap(image.place, image.bytes);
  g_modules = nullptr;
  unwind::set_object_finder(nullptr);
  if (refused) return "the kernel refused access to its threads: where they are blocked is missing";
  return {};
}

}  // namespace unfreed::cli
