// The Python frames of a stack: which lines of which functions the interpreter's loop runs. CPython 3.8 to 3.13, as
// built for x86-64 and AArch64 with its usual options; of others nothing is read.
//
//     C frames, innermost first:   open  os_open …  _PyEval_EvalFrameDefault  …  main
//     Python's own list:                            read (service.py:41)  handle (service.py:60)  <module> …
//     the stack:                   open  os_open …  read  handle  <module>    _PyEval_EvalFrameDefault  …  main
//
// The list of a thread hangs on its PyThreadState, which the interpreter's own PyGILState_GetThisThreadState() returns
// (it reads a thread-local, and takes no lock). Only its own thread changes it, with or without the GIL, so it does
// not change during a hook. But at its end the interpreter frees the states of other threads while they wait in a call,
// or run on; and a signal may interrupt the loop anywhere. Where that may be, everything is read by the kernel
// (process_vm_readv), which cannot fault, and every code object must be of the type PyCode_Type. An interpreter that is
// laid out otherwise has no Python frames.
//
// For the kernel each piece of memory is as much work as the call that is hooked. So, once the layout has proved right
// for several stacks, memory is read as it is that nobody can free:
//
//                              main thread   other threads
//     PyThreadState            as it is      by the kernel
//     frames, 3.9, 3.10        as they are   as they are         objects; the calls that run them own a reference
//     frames, 3.11 – 3.13      as they are   by the kernel, all  on a stack that is unmapped with the state
//                                            of a page at once
//     code objects             as they are   as they are         each frame owns a reference
//
// It is the main thread that ends the interpreter. The references are the thread's own: it does not give them up while
// it is in a hook, and the interpreter's end, which frees the state and that stack, does not either, but leaves them
// unbalanced (PyThreadState_Clear() and tstate_delete_common() in Python/pystate.c, 3.9 to 3.13). Early releases of 3.8
// do give up the innermost frame of each (Py_CLEAR(tstate->frame), before bpo-20526), and which release it is nobody
// says: there all is read by the kernel in other threads. What was read of a freed state or stack is no pointer to go
// by: so the interpreter is asked, after they were read and before anything is read as it is, whether its end has begun
// (_Py_IsFinalizing(), set before anything is freed).
//
// What a code object refers to is known once it has been read, by the kernel.
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

/// Hears of every module that is recorded. Holds no pointer of `object`.
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
