// The Python frames of a stack: which lines of which functions the interpreter's loop runs. CPython 3.8 to 3.13, as
// built for x86-64 and AArch64 with its usual options; of others nothing is read.
//
//     C frames, innermost first:   open  os_open …  _PyEval_EvalFrameDefault  …  main
//     Python's own list:                            read (service.py:41)  handle (service.py:60)  <module> …
//     the stack:                   open  os_open …  read  handle  <module>    _PyEval_EvalFrameDefault  …  main
//
// The list of a thread hangs on its PyThreadState, which the interpreter's own PyGILState_GetThisThreadState() returns
// (it reads a thread-local, and takes no lock). Only its own thread changes it, with or without the GIL, so it does not
// change during a hook, with two exceptions: a daemon thread's list is freed at the interpreter's end while it waits,
// and a signal may interrupt the loop. So everything is read by the kernel (process_vm_readv), which cannot fault, and
// every code object must be of the type PyCode_Type. An interpreter that is laid out otherwise has no Python frames.
//
// A system call for each frame would take ten times as long as the call that is hooked. So, once the layout has proved
// right for several stacks, the main thread's frames and the heads of their code objects are read as they are: they are
// what the interpreter returns to, and are not freed, as the main thread itself ends the interpreter. For
// other threads frames are read by the page, and all code objects of a stack at once. What a code object refers to is
// known from then on.
//
// Python frames are no part of what C stacks are recognised by: stacks with Python frames are captured anew each time.
// So heap blocks and mappings have none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "ledger/layout.h"
#include "unwind/frame.h"
#include "unwind/objects.h"

namespace unfreed::track {

/// Called for every module that is recorded. Keeps no pointer of `object`.
void note_interpreter(const unwind::Object& object, uint32_t number, std::string_view path);

/// A line of a function.
struct PythonFrame {
  ledger::StringRef function;  ///< as a node has it (ledger::kNodeSource)
  uint32_t line;
};
inline constexpr size_t kMostPythonFrames = 128;

/// Does a stack of this kind lead through the interpreter's loop? Then the number of frames inside of it; else −1.
ptrdiff_t find_python_loop(ledger::Kind kind, std::span<const unwind::Frame> frames);

/// The Python frames of the calling thread, innermost first. Returns how many; `truncated`: there are more, or some
/// could not be read. `is_interrupted`: the loop has not called, but was interrupted by a signal. Thread-safe,
/// async-signal-safe; makes system calls.
size_t read_python_frames(std::span<PythonFrame> out, bool is_interrupted, bool& truncated);

/// Code was unloaded, maybe the interpreter's.
void forget_interpreter();

void reset_python_frames_after_fork();

}  // namespace unfreed::track
