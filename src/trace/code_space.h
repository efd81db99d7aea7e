// The code of a traced program: its modules, and the stacks that were walked in it, which mostly come again. Processes
// that were forked from one another share it until one executes another program.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "arch/traced_registers.h"
#include "trace/called_functions.h"
#include "trace/go_runtime.h"
#include "trace/mapped_files.h"
#include "trace/module_image.h"
#include "trace/thread_memory.h"
#include "unwind/frame.h"
#include "unwind/row.h"

namespace unfreed::trace {

/// A file that a process has mapped code from.
struct CodeModule {
  std::string path;
  std::string build_id;  ///< raw
  uintptr_t start = 0;
  uintptr_t end = 0;
  uintptr_t base = 0;
  bool is_main = false;
  bool is_go = false;
  bool may_have_c = false;  ///< of a Go program: it is linked dynamically, as cgo's are
  uintptr_t go_text = 0;    ///< of a Go program: where Go's own functions lie
  uintptr_t go_text_end = 0;
  bool is_read = false;
  ModuleImage image;
  bool has_read_functions = false;
  CalledFunctions functions;
};

/// One frame of a stack: the module's index + 1 (0: none), and the address less its base.
struct CodeFrame {
  uint32_t module;
  uint64_t offset;
  bool exact_pc;
  bool operator==(const CodeFrame&) const = default;
};

/// Not thread-safe: the walker asks for the modules of one code space at a time.
class CodeSpace {
 public:
  /// That of process `pid`, which is stopped, or may be read like a stopped one.
  explicit CodeSpace(int pid) : CodeSpace(pid, nullptr) {}
  /// That of one that may have ended: what it has mapped is known. It may grow.
  CodeSpace(int pid, std::shared_ptr<const MappedFiles> mapped);
  CodeSpace(const CodeSpace&) = delete;
  CodeSpace& operator=(const CodeSpace&) = delete;

  const std::vector<CodeModule>& modules() const { return modules_; }
  /// A Go program without C in it.
  bool is_go() const { return !modules_.empty() && modules_[0].is_go; }
  bool is_only_go() const { return !modules_.empty() && modules_[0].is_go && !modules_[0].may_have_c; }

  /// The stack of a thread that is stopped in or behind a system call, innermost frame first, of at most `most` frames.
  /// Valid until the next call.
  std::span<const CodeFrame> stack_of(const ThreadMemory& memory, const arch::TracedRegisters& registers, size_t most,
                                      bool& truncated);
  /// That of a goroutine that no thread runs. `tid`: a live thread of the process. Empty if it is running.
  std::span<const CodeFrame> stack_of(int tid, const GoRoutine& goroutine, size_t most, bool& truncated);
  CodeFrame frame_of(uintptr_t pc, bool exact);
  /// The file that code of the process lies in; "" for none. `tid`: a live thread.
  std::string_view file_at(int tid, uintptr_t pc);

  GoRuntime& go_runtime() { return go_runtime_; }

 private:
  /// Memory that was searched for return addresses.
  struct Searched {
    uintptr_t from, end;
  };
  struct Walked {
    std::vector<unwind::Slot> slots;
    std::vector<Searched> searched;
    size_t code_words = 0;  ///< words in these that may lead to code: all of them are among the slots
    uintptr_t bp = 0;
    bool depends_on_bp = false;
    bool truncated = false;
    size_t most = 0;
    std::vector<CodeFrame> frames;
  };

  void read_modules(int pid);
  bool find_object(uintptr_t pc, unwind::Object& out);
  const CodeModule* module_at(uintptr_t pc, uint32_t& number);
  bool is_known(const ThreadMemory& memory, const arch::TracedRegisters& registers, size_t most, const Walked& walked);
  void walk(const ThreadMemory& memory, const arch::TracedRegisters& registers, size_t most, Walked& out);
  unwind::WalkResult walk_tables(const ThreadMemory& memory, const unwind::Registers& from,
                                 std::span<unwind::Frame> frames, Walked& out);
  size_t count_certain(const unwind::Registers& from, std::span<const unwind::Frame> frames);
  unwind::Row row_of(const unwind::Frame& frame);
  bool may_be_code(uintptr_t value) const;
  bool find_caller_on_top(const ThreadMemory& memory, unwind::Registers& from, Walked& out);
  bool find_caller(const ThreadMemory& memory, uintptr_t pc, uintptr_t sp, unwind::Registers& caller, Walked& out);
  uintptr_t call_target(const ThreadMemory& memory, uintptr_t return_address);
  CodeModule* read_module_at(uintptr_t pc);
  std::string file_of(const CodeModule& module) const;
  const CalledFunctions& functions_of(CodeModule& module);
  void walk_go(const ThreadMemory& memory, const arch::TracedRegisters& registers, size_t most, Walked& out);
  void follow_go(const ThreadMemory& memory, uintptr_t frame, size_t most, Walked& out);
  bool is_go_code(uintptr_t pc) const;
  bool read_stack(const ThreadMemory& memory, uintptr_t from, size_t bytes);
  bool load(const ThreadMemory& memory, uintptr_t address, uintptr_t& value);

  int pid_;
  std::shared_ptr<const MappedFiles> mapped_;  ///< nullptr: /proc says it
  std::vector<CodeModule> modules_;
  uint32_t generation_;
  bool has_looked_again_ = false;                             ///< for code that lies in no module
  std::unordered_map<uint64_t, std::vector<Walked>> walked_;  ///< by innermost pc and sp
  size_t walked_count_ = 0;
  std::vector<std::byte> stack_;  ///< a copy of the stack that is being looked at
  uintptr_t stack_start_ = 0;
  size_t stack_bytes_ = 0;
  Walked last_;
  GoRuntime go_runtime_;
};

}  // namespace unfreed::trace
