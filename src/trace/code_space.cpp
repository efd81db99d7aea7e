#include "trace/code_space.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/mapping_line.h"
#include "base/syscall.h"
#include "elf/file.h"
#include "elf/opened.h"
#include "trace/process_files.h"
#include "unwind/walk.h"

namespace unfreed::trace {

namespace {

/// The walker asks plain functions: about this one.
CodeSpace* g_walked;

constexpr size_t kMostStackBytes = 1 << 20;
constexpr size_t kFirstStackBytes = 8 * 1024;
constexpr size_t kMostWalked = 100'000;
constexpr size_t kMostOfOnePlace = 8;
constexpr size_t kMostFrames = 512;

using base::MappingLine;

std::vector<MappingLine> parse_mappings(std::string_view maps) {
  std::vector<MappingLine> mappings;
  while (!maps.empty()) {
    size_t end = std::min(maps.find('\n'), maps.size());
    MappingLine mapping;
    if (base::parse_mapping_line(maps.substr(0, end), mapping)) mappings.push_back(mapping);
    maps.remove_prefix(std::min(end + 1, maps.size()));
  }
  return mappings;
}

/// "" for what is no file's.
std::string_view path_of(const MappingLine& mapping) {
  return mapping.name.starts_with('/') ? mapping.name : std::string_view();
}

/// What the kernel adds to the name of a file that has been replaced.
std::string_view without_mark(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  return path.ends_with(kDeleted) ? path.substr(0, path.size() - kDeleted.size()) : path;
}

/// Reads what a report says of a module from its file, and where Go's functions lie in it.
void describe(const elf::File& file, uint64_t mapped_offset, CodeModule& out) {
  char id[64];
  out.build_id.assign(id, file.build_id(id));
  for (uint32_t index = 0; index < file.segment_count(); ++index) {
    elf::Segment segment;
    if (!file.segment(index, segment) || segment.type != 1) continue;  // PT_LOAD
    constexpr uint64_t kPage = 4095;
    if ((segment.offset & ~kPage) != mapped_offset) continue;
    out.base = out.start - (segment.address & ~kPage);
    break;
  }
  constexpr uint32_t kGoBuildId = 4;
  elf::Range note;
  elf::Section text;
  out.is_go =
      (file.find_note("Go", kGoBuildId, note) || file.has_section(".go.buildinfo")) && file.find_section(".text", text);
  if (!out.is_go) return;
  elf::Segment interpreter;
  out.may_have_c = file.find_segment(3, interpreter);  // PT_INTERP
  out.go_text = out.base + text.address;
  out.go_text_end = out.go_text + text.bytes;
}

uint32_t next_generation() {
  unwind::forget_code();
  return unwind::code_generation();
}

bool prepare_walker() {
  static const bool can_walk = unwind::prepare([](const unwind::Object& object) -> uint32_t {
    const auto& modules = g_walked->modules();
    for (size_t at = 0; at < modules.size(); ++at)
      if (modules[at].image.object().image.low == object.image.low) return static_cast<uint32_t>(at) + 1;
    return 0;
  });
  return can_walk;
}

}  // namespace

CodeSpace::CodeSpace(int pid, std::shared_ptr<const MappedFiles> mapped)
    : pid_(pid), mapped_(std::move(mapped)), generation_(next_generation()) {
  read_modules(pid);
}

/// Modules keep their numbers: frames of earlier stacks have them. New ones are added behind.
void CodeSpace::read_modules(int pid) {
  ProcessFiles files(pid);
  std::string maps = mapped_ ? mapped_->text() : files.read("maps");
  std::string program = mapped_ ? mapped_->program() : files.link("exe");
  std::vector<MappingLine> mappings = parse_mappings(maps);
  for (size_t at = 0; at < mappings.size(); ++at) {
    const MappingLine& first = mappings[at];
    std::string_view path = path_of(first);
    if (path.empty()) continue;
    size_t last = at;
    bool has_code = first.executable;
    // The parts of one object lie together, in the order of the file, with nothing of another file in between.
    while (last + 1 < mappings.size()) {
      const MappingLine& next = mappings[last + 1];
      bool is_gap = path_of(next).empty() && next.low == mappings[last].high;
      if (!is_gap && (path_of(next) != path || next.offset <= first.offset)) break;
      has_code = has_code || (next.executable && !is_gap);
      ++last;
    }
    while (last > at && path_of(mappings[last]).empty()) --last;
    uintptr_t start = first.low, end = mappings[last].high;
    at = last;
    bool is_known = std::any_of(modules_.begin(), modules_.end(), [&](const CodeModule& one) {
      return one.start == start && one.end == end && one.path == without_mark(path);
    });
    if (!has_code || is_known) continue;
    CodeModule module;
    module.path = without_mark(path);
    module.start = start;
    module.end = end;
    module.is_main = path == program;
    elf::Opened opened(file_of(module).c_str());
    elf::Bytes bytes = opened.bytes();
    elf::File object;
    if (opened && !object.open(bytes)) {
      describe(object, first.offset, module);
      if (module.is_go && modules_.empty()) go_runtime_ = GoRuntime(object, module.base);
    }
    modules_.push_back(std::move(module));
  }
}

/// The very file that is mapped, if it is the program's.
std::string CodeSpace::file_of(const CodeModule& module) const {
  std::string folder = "/proc/" + std::to_string(pid_);
  // It may have ended, and the number may be another process's.
  if (mapped_ && ProcessFiles(pid_).link("exe") != mapped_->program()) return module.path;
  return module.is_main ? folder + "/exe" : folder + "/root" + module.path;
}

const CalledFunctions& CodeSpace::functions_of(CodeModule& module) {
  if (module.has_read_functions) return module.functions;
  module.has_read_functions = true;
  elf::Opened opened(file_of(module).c_str());
  elf::Bytes bytes = opened.bytes();
  elf::File object;
  if (opened && !object.open(bytes)) module.functions = CalledFunctions(object, module.base);
  return module.functions;
}

const CodeModule* CodeSpace::module_at(uintptr_t pc, uint32_t& number) {
  // Of two at one address the newer one is there.
  for (size_t at = modules_.size(); at > 0; --at) {
    const CodeModule& one = modules_[at - 1];
    if (pc < one.start || pc >= one.end) continue;
    number = static_cast<uint32_t>(at);
    return &one;
  }
  number = 0;
  return nullptr;
}

std::string_view CodeSpace::file_at(int tid, uintptr_t pc) {
  uint32_t number;
  if (!module_at(pc, number)) {
    pid_ = tid;
    read_modules(tid);
  }
  const CodeModule* module = module_at(pc, number);
  return module ? std::string_view(module->path) : std::string_view();
}

bool CodeSpace::find_object(uintptr_t pc, unwind::Object& out) {
  uint32_t number;
  if (!module_at(pc, number)) {
    if (has_looked_again_) return false;
    has_looked_again_ = true;
    size_t before = modules_.size();
    read_modules(pid_);
    if (modules_.size() == before || !module_at(pc, number)) return false;
  }
  CodeModule& module = modules_[number - 1];
  if (!module.is_read) {
    module.is_read = true;
    elf::Opened opened(file_of(module).c_str());
    if (!opened || !module.image.read(opened.bytes(), module.base)) module.image = ModuleImage();
  }
  return module.image.find(pc, out);
}

CodeFrame CodeSpace::frame_of(uintptr_t pc, bool exact) {
  uint32_t number;
  const CodeModule* module = module_at(exact ? pc : pc - 1, number);
  return {number, pc - (module ? module->base : 0), exact};
}

bool CodeSpace::read_stack(const ThreadMemory& memory, uintptr_t from, size_t bytes) {
  if (stack_.size() < bytes) stack_.resize(bytes);
  long got = memory.read(from, stack_.data(), bytes);
  stack_start_ = from;
  stack_bytes_ = got > 0 ? static_cast<size_t>(got) : 0;
  return stack_bytes_ >= sizeof(uintptr_t);
}

bool CodeSpace::load(const ThreadMemory& memory, uintptr_t address, uintptr_t& value) {
  bool is_copied = address >= stack_start_ && address - stack_start_ + sizeof value <= stack_bytes_;
  if (is_copied) {
    std::memcpy(&value, stack_.data() + (address - stack_start_), sizeof value);
    return true;
  }
  return memory.read(address, &value, sizeof value) == sizeof value;
}

/// Does every word that the walk read have its value? Then the whole stack is the same.
bool CodeSpace::is_known(const ThreadMemory& memory, const arch::TracedRegisters& registers, size_t most,
                         const Walked& walked) {
  if (walked.most != most || (walked.depends_on_bp && walked.bp != registers.bp())) return false;
  for (const unwind::Slot& slot : walked.slots) {
    uintptr_t value;
    if (!load(memory, slot.address, value) || value != slot.value) return false;
  }
  size_t code_words = 0;
  for (const Searched& part : walked.searched)
    for (uintptr_t place = part.from; place < part.end; place += sizeof(uintptr_t)) {
      uintptr_t value;
      if (!load(memory, place, value)) return false;
      code_words += may_be_code(value);
    }
  return code_words == walked.code_words;
}

bool CodeSpace::is_go_code(uintptr_t pc) const {
  return is_go() && pc > modules_[0].go_text && pc <= modules_[0].go_text_end;
}

/// Go's functions keep frame pointers. Those that make system calls have no frame: their return address is on top.
void CodeSpace::walk_go(const ThreadMemory& memory, const arch::TracedRegisters& registers, size_t most, Walked& out) {
  out.frames.push_back(frame_of(registers.pc(), true));
  uintptr_t pc = 0;
  if (load(memory, registers.sp(), pc) && is_go_code(pc)) {
    out.slots.push_back({registers.sp(), pc});
    out.frames.push_back(frame_of(pc, false));
  } else if (is_go_code(registers.go_vfork_return())) {
    out.slots.push_back({registers.sp(), pc});
    out.frames.push_back(frame_of(registers.go_vfork_return(), false));
  }
  out.bp = registers.bp();
  out.depends_on_bp = true;
  follow_go(memory, registers.bp(), most, out);
}

/// The chain of frame pointers.
void CodeSpace::follow_go(const ThreadMemory& memory, uintptr_t frame, size_t most, Walked& out) {
  while (frame != 0 && out.frames.size() < most) {
    uintptr_t next, pc;
    if (frame % sizeof(uintptr_t) || !load(memory, frame + 8, pc) || !load(memory, frame, next)) break;
    out.slots.push_back({frame, next});
    out.slots.push_back({frame + 8, pc});
    if (pc == 0) return;
    if (!is_go_code(pc)) break;
    out.frames.push_back(frame_of(pc, false));
    // The stack grows downward, except where it is left for another (systemstack).
    if (next == frame) break;
    frame = next;
  }
  out.truncated = frame != 0;
}

void CodeSpace::walk(const ThreadMemory& memory, const arch::TracedRegisters& registers, size_t most, Walked& out) {
  if (is_go_code(registers.pc())) return walk_go(memory, registers, most, out);
  unwind::Registers from{registers.pc(), registers.sp(), registers.bp(), true, true, registers.more()};
  out.bp = registers.bp();
  for (;;) {
    unwind::Frame frames[kMostFrames];
    size_t room = std::min(most, kMostFrames) - out.frames.size();
    size_t first_slot = out.slots.size();
    unwind::WalkResult result = walk_tables(memory, from, std::span(frames).first(room), out);
    auto walked = std::span<const unwind::Frame>(frames).first(result.frames);
    size_t certain = count_certain(from, walked);
    if (certain == 0 && from.exact_pc && find_caller_on_top(memory, from, out)) continue;
    bool is_whole = certain == walked.size() && !result.followed_guess;
    CodeModule* module = certain < walked.size() ? read_module_at(walked[certain].pc) : nullptr;
    // Of what it cannot do better, the walker's guess is shown.
    bool can_search = arch::kReadsCalls && !is_whole && module && !functions_of(*module).empty();
    if (can_search) walked = walked.first(certain + 1);
    if (!can_search && result.followed_guess) out.most = 0;  // is not recognised again
    for (const unwind::Frame& frame : walked) out.frames.push_back(frame_of(frame.pc, frame.exact_pc));
    out.truncated = result.truncated;
    if (!can_search || out.frames.size() >= std::min(most, kMostFrames)) return;
    out.truncated = std::none_of(walked.begin(), walked.end(), [&](const unwind::Frame& one) {
      return functions_of(modules_[0]).is_in_main(one.pc);  // who calls that is nobody's concern
    });
    if (!out.truncated) return;
    uintptr_t pc = walked[certain].pc;
    // Where its return address was found, its own frame begins: the first word like it, but for those of other frames.
    uintptr_t sp = from.sp;
    auto same = std::count_if(walked.begin() + 1, walked.end(), [&](const unwind::Frame& one) { return one.pc == pc; });
    for (size_t at = first_slot; certain > 0 && at < out.slots.size() && same > 0; ++at)
      if (out.slots[at].value == pc && --same == 0) sp = out.slots[at].address + sizeof(uintptr_t);
    if (!find_caller(memory, pc, sp, from, out)) return;
  }
}

/// By unwind information, and where there is none by a guess.
unwind::WalkResult CodeSpace::walk_tables(const ThreadMemory& memory, const unwind::Registers& from,
                                          std::span<unwind::Frame> frames, Walked& out) {
  g_walked = this;
  unwind::g_code_generation.store(generation_, std::memory_order_relaxed);
  unwind::set_object_finder([](uintptr_t pc, unwind::Object& object) { return g_walked->find_object(pc, object); });
  std::vector<unwind::Slot> slots(2 * kMostFrames);
  unwind::SlotLog log;
  unwind::WalkResult result;
  for (;;) {
    auto at = reinterpret_cast<uintptr_t>(stack_.data());
    unwind::StackBounds bounds{from.sp, stack_start_ + stack_bytes_, static_cast<intptr_t>(at - stack_start_)};
    log = {};
    log.slots = slots.data();
    log.capacity = slots.size();
    result = unwind::walk(from, bounds, 0, frames, log);
    // The copy may have ended too early.
    size_t bytes = stack_bytes_;
    bool is_cut = result.truncated && result.frames < frames.size() && bytes < kMostStackBytes;
    if (!is_cut || !read_stack(memory, stack_start_, bytes * 4) || stack_bytes_ == bytes) break;
  }
  unwind::set_object_finder(nullptr);
  out.slots.insert(out.slots.end(), slots.begin(), slots.begin() + static_cast<ptrdiff_t>(log.size));
  out.depends_on_bp = out.depends_on_bp || log.depends_on_bp;
  if (!log.verifiable || log.overflowed) out.most = 0;
  return result;
}

unwind::Row CodeSpace::row_of(const unwind::Frame& frame) {
  unwind::Object object;
  unwind::Row row;
  uintptr_t pc = frame.exact_pc ? frame.pc : frame.pc - 1;
  if (!find_object(pc, object)) return row;
  if (object.eh_frame_hdr)
    row = unwind::find_row(object.image, object.eh_frame_hdr, pc + static_cast<uintptr_t>(object.shift));
  if (row.cfa == unwind::CfaRule::none && unwind::is_outermost(pc, object)) row.cfa = unwind::CfaRule::end;
  return row;
}

/// How many of the frames, from the innermost out, did unwind information lead on from?
size_t CodeSpace::count_certain(const unwind::Registers& from, std::span<const unwind::Frame> frames) {
  bool knows_bp = from.knows_bp;
  for (size_t at = 0; at < frames.size(); ++at) {
    unwind::Row row = row_of(frames[at]);
    bool needs_bp = row.cfa == unwind::CfaRule::bp || row.cfa == unwind::CfaRule::at_bp;
    if (row.cfa == unwind::CfaRule::none || (needs_bp && !knows_bp)) return at;
    knows_bp = knows_bp || row.bp != unwind::BpRule::same;
  }
  return frames.size();
}

CodeModule* CodeSpace::read_module_at(uintptr_t pc) {
  unwind::Object unused;
  uint32_t number;
  return find_object(pc - 1, unused) && module_at(pc - 1, number) ? &modules_[number - 1] : nullptr;
}

/// What the call before a return address calls: directly, or through an entry of the loader's.
uintptr_t CodeSpace::call_target(const ThreadMemory& memory, uintptr_t return_address) {
  const CodeModule* module = read_module_at(return_address);
  if (!module) return 0;
  Code code = module->image.code();
  uintptr_t target = code.call_target(return_address);
  const CodeModule* other = target && may_be_code(target + 1) ? read_module_at(target + 1) : nullptr;
  uintptr_t slot = other ? other->image.code().entry_slot(target) : 0;
  if (slot) memory.read_constant(slot, &target, sizeof target);
  return target;
}

bool CodeSpace::may_be_code(uintptr_t value) const {
  return std::any_of(modules_.begin(), modules_.end(),
                     [&](const CodeModule& one) { return value > one.start && value <= one.end; });
}

/// Of a function without a frame, and without unwind information behind its system call: libc's clone3, which would
/// have the new thread's stack go on into its creator's.
bool CodeSpace::find_caller_on_top(const ThreadMemory& memory, unwind::Registers& from, Walked& out) {
  constexpr uintptr_t kLongest = 256;
  uintptr_t value;
  if (!arch::kReadsCalls || !load(memory, from.sp, value) || !may_be_code(value)) return false;
  uintptr_t target = call_target(memory, value);
  if (!target || target > from.pc || from.pc - target > kLongest) return false;
  out.slots.push_back({from.sp, value});
  out.frames.push_back(frame_of(from.pc, true));
  from = {value, from.sp + sizeof(uintptr_t), from.bp, false, true};
  return true;
}

/// Where the function that `pc` lies in, whose frame begins at `sp`, was called.
bool CodeSpace::find_caller(const ThreadMemory& memory, uintptr_t pc, uintptr_t sp, unwind::Registers& caller,
                            Walked& out) {
  CodeModule* module = read_module_at(pc);
  constexpr uintptr_t kLargestFrame = 8 * 1024;
  for (uintptr_t place = sp; module && place < sp + kLargestFrame; place += sizeof(uintptr_t)) {
    uintptr_t value;
    if (place < stack_start_ || place - stack_start_ + sizeof value > stack_bytes_ || !load(memory, place, value))
      return false;
    if (!may_be_code(value)) continue;
    // Each might be the one, so the stack is the same only if all are, and there are no others.
    out.slots.push_back({place, value});
    ++out.code_words;
    uintptr_t target = call_target(memory, value);
    if (!target || !functions_of(*module).leads_to(target, pc, module->image.code())) continue;
    out.searched.push_back({sp, place + sizeof(uintptr_t)});
    caller = {value, place + sizeof(uintptr_t), caller.bp, false, false};
    return true;
  }
  return false;
}

std::span<const CodeFrame> CodeSpace::stack_of(const ThreadMemory& memory, const arch::TracedRegisters& registers,
                                               size_t most, bool& truncated) {
  pid_ = memory.tid();  // whichever process of those that share this is stopped
  uint64_t key = registers.pc() * 0x9e3779b97f4a7c15u ^ registers.sp();
  std::vector<Walked>& known = walked_[key];
  if (!read_stack(memory, registers.sp(), kFirstStackBytes)) {
    last_ = Walked();
    last_.frames.push_back(frame_of(registers.pc(), true));
    truncated = true;
    return last_.frames;
  }
  for (const Walked& one : known)
    if (is_known(memory, registers, most, one)) {
      truncated = one.truncated;
      return one.frames;
    }
  Walked walked;
  walked.most = most;
  has_looked_again_ = false;
  if (prepare_walker()) walk(memory, registers, most, walked);
  truncated = walked.truncated;
  if (walked.most == 0 || known.size() >= kMostOfOnePlace) {
    if (walked.most == 0 || known.empty()) {
      last_ = std::move(walked);
      return last_.frames;
    }
    known.erase(known.begin());
    --walked_count_;
  }
  if (walked_count_ >= kMostWalked) {
    walked_.clear();
    walked_count_ = 0;
    last_ = std::move(walked);
    return last_.frames;
  }
  ++walked_count_;
  known.push_back(std::move(walked));
  return known.back().frames;
}

std::span<const CodeFrame> CodeSpace::stack_of(int tid, const GoRoutine& goroutine, size_t most, bool& truncated) {
  ThreadMemory memory(tid);
  last_ = Walked();
  truncated = false;
  if (!is_go_code(goroutine.pc)) return {};
  bool has_stack = goroutine.stack_low < goroutine.sp && goroutine.sp < goroutine.stack_high &&
                   read_stack(memory, goroutine.sp, std::min(kFirstStackBytes, goroutine.stack_high - goroutine.sp));
  if (!has_stack) stack_bytes_ = 0;
  // One that has not run yet is at its function's beginning.
  bool is_new = goroutine.pc == goroutine.starts_at;
  last_.frames.push_back(frame_of(goroutine.pc, is_new));
  if (!is_new) follow_go(memory, goroutine.bp, most, last_);
  truncated = last_.truncated || (!is_new && goroutine.bp == 0);
  return last_.frames;
}

}  // namespace unfreed::trace
