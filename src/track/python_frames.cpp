#include "track/python_frames.h"

#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/lock.h"
#include "base/own_memory.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"
#include "track/python_lines.h"
#include "track/thread_state.h"
#include "track/tracker.h"
#include "unwind/dynamic_symbols.h"

namespace unfreed::track {

namespace {

/// How a frame says which instruction it is at.
enum class Instruction : uint8_t { bytes, units, address };

struct Layout {
  int minor;
  int thread_frame, indirect_frame;
  size_t frame_bytes;
  int caller, code, instruction, owner;
  Instruction form;
  size_t code_bytes;
  int filename, name, first_line, line_table, instructions;
  PythonLineForm line_form;
  int ascii_header, other_header;

  /// Frames are no objects then, but lie on a stack of the thread's state.
  bool has_frame_stack() const { return minor >= 11; }
};
constexpr Layout kLayouts[] = {
#define LAYOUT(minor, thread, indirect, frame, caller, code, at, owner, form, bytes, file, name, first, table, start, \
               lines, ascii, other)                                                                                   \
  {minor,                                                                                                             \
   thread,                                                                                                            \
   indirect,                                                                                                          \
   frame,                                                                                                             \
   caller,                                                                                                            \
   code,                                                                                                              \
   at,                                                                                                                \
   owner,                                                                                                             \
   Instruction::form,                                                                                                 \
   bytes,                                                                                                             \
   file,                                                                                                              \
   name,                                                                                                              \
   first,                                                                                                             \
   table,                                                                                                             \
   start,                                                                                                             \
   PythonLineForm::lines,                                                                                             \
   ascii,                                                                                                             \
   other},
#include "track/python_layouts.inc"
#undef LAYOUT
};
constexpr size_t kMostFrameBytes = 112, kMostCodeBytes = 208;
static_assert(std::all_of(std::begin(kLayouts), std::end(kLayouts), [](const Layout& one) {
  return one.frame_bytes <= kMostFrameBytes && one.code_bytes <= kMostCodeBytes;
}));

constexpr int kType = 8;            // in every object (Include/object.h), as long as reference counts are not traced
constexpr int kLength = 16;         // of text and bytes
constexpr int kTextState = 32;      // of text: bits 2–4 its bytes a character, 5 compact, 6 ASCII
constexpr int kBytesHeader = 32;    // of bytes
constexpr uint8_t kOwnedByC = 3;    // FRAME_OWNED_BY_CSTACK: no function of Python's
constexpr size_t kMostText = 1024;  // of a name or a file's path

/// The interpreter of this process.
struct Interpreter {
  const Layout* layout;
  uintptr_t loop_low, loop_high;  ///< the code of _PyEval_EvalFrameDefault
  uintptr_t code_type;
  void* (*this_thread_state)();
  int (*is_finalizing)();
};
Interpreter g_interpreter;
std::atomic<bool> g_is_known;
constinit base::Lock g_lock;

// Under the lock:

/// Stacks that the kernel has read to their end, with the layout that is assumed.
uint32_t g_proofs;
constexpr uint32_t kEnoughProofs = 32;

/// What is known of an instruction, as long as its code object is the same one.
struct KnownLine {
  uintptr_t code, filename, name;
  uint32_t first_line;
  uint32_t instruction;
  PythonFrame frame;
};
/// A function's text in the ledger, by hash.
struct KnownText {
  uint64_t hash;
  ledger::StringRef text;
};
constexpr size_t kKnownLines = 4096, kKnownTexts = 16384;
KnownLine* g_lines;
KnownText* g_texts;
size_t g_text_count;

template <class T>
T member(const std::byte* object, int offset) {
  T value;
  std::memcpy(&value, object + offset, sizeof value);
  return value;
}

bool read(uintptr_t from, void* to, size_t bytes) {
  return from && base::copy_memory(0, from, to, bytes) == static_cast<long>(bytes);
}

/// "python3.11", "libpython3.11.so.1.0": 11. −1 where there is no such version, or it is built in another way: "d" has
/// larger objects, "t" other ones.
int minor_version(std::string_view name) {
  constexpr std::string_view kStarts[] = {"libpython3.", "python3."};
  for (std::string_view start : kStarts) {
    if (!name.starts_with(start)) continue;
    name.remove_prefix(start.size());
    uint64_t minor = 0;
    bool is_plain = base::take_number(name, minor) && minor < 100 && (name.empty() || name.starts_with(".so"));
    return is_plain ? static_cast<int>(minor) : -1;
  }
  return -1;
}

// ---- frames ----

struct ReadFrame {
  uintptr_t code;
  uint64_t instruction;  ///< as the frame has it
};

/// What may be read as it is, and not by the kernel, which cannot fault.
enum class Trust : uint8_t {
  nothing,
  objects,     ///< what is counted by reference: code objects, and frames where they are objects
  everything,  ///< also the thread's state, and frames that lie on its stack of frames
};

class FrameReader {
 public:
  /// `tid`: the calling thread's.
  FrameReader(Trust trust, int tid) : trust_(trust), tid_(tid) {}

  /// The bytes of a frame, valid until the next call; nullptr: they cannot be read.
  const std::byte* frame_at(uintptr_t from, size_t bytes) {
    if (!from || from % sizeof(uintptr_t)) return nullptr;
    bool is_object = !g_interpreter.layout->has_frame_stack();
    if (trust_ == Trust::everything || (trust_ == Trust::objects && is_object))
      return reinterpret_cast<const std::byte*>(from);
    if (from >= low_ && from + bytes <= high_) return g_window + (from - low_);
    // The callers mostly lie below, one next to the other: the rest of the page is there if this is.
    high_ = from + bytes;
    low_ = from & ~(kPageBytes - 1);
    if (read(low_, g_window, high_ - low_)) return g_window + (from - low_);
    low_ = high_ = 0;
    return nullptr;
  }
  uintptr_t pointer_at(uintptr_t from) const {
    uintptr_t value = 0;
    if (from % sizeof value) return 0;
    if (trust_ == Trust::everything || is_on_own_stack(from)) return *reinterpret_cast<const uintptr_t*>(from);
    return read(from, &value, sizeof value) ? value : 0;
  }

 private:
  /// Where versions that have it keep what points to the current frame.
  static bool is_on_own_stack(uintptr_t from) {
    auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    const ThreadState* state = t_local.state;
    return state && state->is_own_stack(here) && from >= here && state->bounds.contains(from, sizeof from);
  }
  bool read(uintptr_t from, void* to, size_t bytes) const {
    return from && base::copy_memory(tid_, from, to, bytes) == static_cast<long>(bytes);
  }

  static constexpr uintptr_t kPageBytes = 4096;
  static inline std::byte g_window[kPageBytes + kMostFrameBytes];
  Trust trust_;
  int tid_;
  uintptr_t low_ = 0, high_ = 0;
};

/// The heads of code objects. Returns how many of them, from the first, could be read.
size_t read_codes(std::span<const ReadFrame> frames, Trust trust, std::byte (*out)[kMostCodeBytes]) {
  static iovec local[kMostPythonFrames], remote[kMostPythonFrames];
  size_t bytes = g_interpreter.layout->code_bytes;
  if (trust != Trust::nothing) {
    for (size_t at = 0; at < frames.size(); ++at)
      std::memcpy(out[at], reinterpret_cast<const void*>(frames[at].code), bytes);
    return frames.size();
  }
  for (size_t at = 0; at < frames.size(); ++at) {
    local[at] = {out[at], bytes};
    remote[at] = {reinterpret_cast<void*>(frames[at].code), bytes};
  }
  long done = base::raw_syscall(SYS_process_vm_readv, base::current_tid(), reinterpret_cast<long>(local),
                                static_cast<long>(frames.size()), reinterpret_cast<long>(remote),
                                static_cast<long>(frames.size()), 0);
  return done > 0 ? static_cast<size_t>(done) / bytes : 0;
}

/// It must have been asked after what it is about was read.
bool is_finalizing() {
  std::atomic_thread_fence(std::memory_order_acquire);
  return g_interpreter.is_finalizing();
}
/// Early releases of it give up the frames of other threads at the interpreter's end (before bpo-20526).
constexpr int kLastThatClearsFrames = 8;
/// Of what is read in this thread, as long as it has called out of the loop.
Trust most_trust(int tid) {
  if (g_proofs < kEnoughProofs || !g_interpreter.is_finalizing || is_finalizing()) return Trust::nothing;
  if (tid == base::current_pid()) return Trust::everything;
  return g_interpreter.layout->minor > kLastThatClearsFrames ? Trust::objects : Trust::nothing;
}

/// The thread's frames, innermost first.
size_t walk(FrameReader& reader, Trust trust, std::span<ReadFrame> out, bool& truncated) {
  const Layout& layout = *g_interpreter.layout;
  auto thread = reinterpret_cast<uintptr_t>(g_interpreter.this_thread_state());
  if (!thread) return 0;
  uintptr_t frame = reader.pointer_at(thread + static_cast<uintptr_t>(layout.thread_frame));
  if (layout.indirect_frame >= 0 && frame)
    frame = reader.pointer_at(frame + static_cast<uintptr_t>(layout.indirect_frame));
  if (trust == Trust::objects && is_finalizing()) {
    truncated = true;
    return 0;
  }
  size_t count = 0;
  for (size_t steps = 0; frame; ++steps) {
    const std::byte* bytes = reader.frame_at(frame, layout.frame_bytes);
    if (count == out.size() || steps == 2 * kMostPythonFrames || !bytes) {
      truncated = true;
      break;
    }
    frame = member<uintptr_t>(bytes, layout.caller);
    if (layout.owner >= 0 && member<uint8_t>(bytes, layout.owner) == kOwnedByC) continue;
    bool is_number = layout.form != Instruction::address;
    out[count++] = {member<uintptr_t>(bytes, layout.code), is_number ? member<uint32_t>(bytes, layout.instruction)
                                                                     : member<uint64_t>(bytes, layout.instruction)};
  }
  return count;
}

// ---- what they are called ----

void add_character(base::TextBuilder& out, uint32_t code) {
  auto add = [&](uint32_t byte) { out.add(static_cast<char>(byte)); };
  if (code == 0) return;  // ends a text
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xc0 | code >> 6);
  } else if (code < 0x10000) {
    add(0xe0 | code >> 12);
    add(0x80 | (code >> 6 & 63));
  } else {
    add(0xf0 | (code >> 18 & 7));
    add(0x80 | (code >> 12 & 63));
    add(0x80 | (code >> 6 & 63));
  }
  add(0x80 | (code & 63));
}

/// Appends the text of a str, its beginning where it is long. False: it cannot be read.
bool add_text(base::TextBuilder& out, uintptr_t object) {
  const Layout& layout = *g_interpreter.layout;
  std::byte header[48];
  if (!read(object, header, sizeof header)) return false;
  auto state = member<uint32_t>(header, kTextState);
  auto length = member<uint64_t>(header, kLength);
  unsigned width = state >> 2 & 7;
  bool is_compact = state >> 5 & 1, is_ascii = state >> 6 & 1;
  if (!is_compact || (width != 1 && width != 2 && width != 4)) return false;
  static std::byte text[kMostText * 4];
  auto most = static_cast<size_t>(std::min<uint64_t>(length, kMostText));
  auto start = object + static_cast<uintptr_t>(is_ascii ? layout.ascii_header : layout.other_header);
  if (!read(start, text, most * width) && most) return false;
  for (size_t at = 0; at < most; ++at) {
    const std::byte* place = text + at * width;
    add_character(out, width == 1   ? member<uint8_t>(place, 0)
                       : width == 2 ? member<uint16_t>(place, 0)
                                    : member<uint32_t>(place, 0));
  }
  return true;
}

/// The text in the ledger; 0: there is no room.
ledger::StringRef text_ref(std::string_view text) {
  uint64_t hash = base::hash_text(text) | 1;
  size_t at = hash % kKnownTexts;
  for (; g_texts[at].hash; at = (at + 1) % kKnownTexts)
    if (g_texts[at].hash == hash) return g_texts[at].text;
  if (g_text_count >= kKnownTexts / 2) return 0;
  ledger::StringRef made = g_tracker.writer.add_text(text);
  if (!made) return 0;
  ++g_text_count;
  g_texts[at] = {hash, made};
  return made;
}

uint32_t read_line(const std::byte* code, uint32_t first_line, uint32_t instruction) {
  const Layout& layout = *g_interpreter.layout;
  auto object = member<uintptr_t>(code, layout.line_table);
  uint64_t length = 0;
  static uint8_t table[32 * 1024];
  if (!read(object + kLength, &length, sizeof length)) return 0;
  auto most = static_cast<size_t>(std::min<uint64_t>(length, sizeof table));
  if (!read(object + kBytesHeader, table, most)) return 0;
  return python_line(layout.line_form, std::span(table, most), first_line, instruction);
}

/// False: it cannot be read, or there is no room.
bool name(const ReadFrame& frame, const std::byte* code, PythonFrame& out) {
  const Layout& layout = *g_interpreter.layout;
  if (member<uintptr_t>(code, kType) != g_interpreter.code_type) return false;
  auto instruction = static_cast<uint32_t>(frame.instruction);
  if (layout.form == Instruction::units) instruction *= 2;
  if (layout.form == Instruction::address)
    instruction = static_cast<uint32_t>(frame.instruction - frame.code - static_cast<uint64_t>(layout.instructions));
  KnownLine now{frame.code,
                member<uintptr_t>(code, layout.filename),
                member<uintptr_t>(code, layout.name),
                member<uint32_t>(code, layout.first_line),
                instruction,
                {}};
  KnownLine& known = g_lines[(frame.code / 16 * 31 + instruction) % kKnownLines];
  bool is_known = known.code == now.code && known.filename == now.filename && known.name == now.name &&
                  known.first_line == now.first_line && known.instruction == now.instruction;
  if (!is_known) {
    static char storage[2 * kMostText * 4 + 32];
    base::TextBuilder text(storage);
    if (!add_text(text, now.filename)) return false;
    text.add('\0');
    if (!add_text(text, now.name)) return false;
    text.add('\0').add_number(now.first_line);
    now.frame = {text_ref(text.text()), read_line(code, now.first_line, instruction)};
    if (!now.frame.function) return false;
    known = now;
  }
  out = known.frame;
  return true;
}

}  // namespace

void note_interpreter(const unwind::Object& object, uint32_t number, std::string_view path) {
  int minor = minor_version(base::base_name(path));
  auto layout =
      std::find_if(std::begin(kLayouts), std::end(kLayouts), [&](const Layout& one) { return one.minor == minor; });
  if (layout == std::end(kLayouts) || !number || g_is_known.load(std::memory_order_acquire)) return;
  unwind::DynamicSymbols symbols(object);
  if (!symbols.has_names()) return;
  auto* loop = symbols.find("_PyEval_EvalFrameDefault");
  auto* code_type = symbols.find("PyCode_Type");
  auto* thread_state = symbols.find("PyGILState_GetThisThreadState");
  auto* finalizing = symbols.find("_Py_IsFinalizing");  // until 3.12
  if (!finalizing) finalizing = symbols.find("Py_IsFinalizing");
  bool has_finalizing = finalizing && finalizing->st_shndx != SHN_UNDEF;
  for (auto* symbol : {loop, code_type, thread_state})
    if (!symbol || symbol->st_shndx == SHN_UNDEF) return;
  base::Hold hold(g_lock);
  bool is_same = g_interpreter.layout == layout && g_interpreter.code_type == object.bias + code_type->st_value;
  if (!is_same) g_proofs = 0;
  if (!g_lines) g_lines = base::own_array<KnownLine>(kKnownLines);
  if (!g_texts) g_texts = base::own_array<KnownText>(kKnownTexts);
  if (!g_lines || !g_texts) return;
  g_interpreter.layout = layout;
  g_interpreter.loop_low = object.bias + loop->st_value;
  g_interpreter.loop_high = g_interpreter.loop_low + loop->st_size;
  g_interpreter.code_type = object.bias + code_type->st_value;
  g_interpreter.this_thread_state = reinterpret_cast<void* (*)()>(object.bias + thread_state->st_value);
  g_interpreter.is_finalizing =
      has_finalizing ? reinterpret_cast<int (*)()>(object.bias + finalizing->st_value) : nullptr;
  g_is_known.store(true, std::memory_order_release);
}

ptrdiff_t find_python_loop(ledger::Kind kind, std::span<const unwind::Frame> frames) {
  if (!g_is_known.load(std::memory_order_acquire)) [[likely]]
    return -1;
  if (kind == ledger::Kind::heap || kind == ledger::Kind::mapping) return -1;
  for (size_t at = 0; at < frames.size(); ++at)
    if (frames[at].pc > g_interpreter.loop_low && frames[at].pc <= g_interpreter.loop_high)
      return static_cast<ptrdiff_t>(at);
  return -1;
}

size_t read_python_frames(std::span<PythonFrame> out, bool is_interrupted, bool& truncated) {
  if (!base::may_call_system()) return 0;
  base::Hold hold(g_lock);
  if (!g_is_known.load(std::memory_order_relaxed)) return 0;
  int tid = base::current_tid();
  Trust trust = is_interrupted ? Trust::nothing : most_trust(tid);
  FrameReader reader(trust, tid);
  static ReadFrame frames[kMostPythonFrames];
  static std::byte codes[kMostPythonFrames][kMostCodeBytes];
  size_t most = std::min<size_t>({out.size(), kMostPythonFrames, g_tracker.depth});
  size_t walked = walk(reader, trust, std::span(frames).first(most), truncated);
  if (trust == Trust::objects && is_finalizing()) trust = Trust::nothing;
  size_t known = read_codes(std::span(frames).first(walked), trust, codes);
  size_t count = 0;
  while (count < known && name(frames[count], codes[count], out[count])) ++count;
  truncated |= count < walked;
  g_proofs += count == walked && count > 0 && g_proofs < kEnoughProofs;
  // If nothing is where the layout says, this is another interpreter.
  if (count == 0 && walked > 0 && !is_interrupted && !g_proofs) g_is_known.store(false, std::memory_order_release);
  return count;
}

void forget_interpreter() {
  base::Hold hold(g_lock);
  g_is_known.store(false, std::memory_order_release);
}

void reset_python_frames_after_fork() { g_lock.reset(); }

}  // namespace unfreed::track
