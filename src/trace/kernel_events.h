// What the program in the kernel (kernel_program.bpf.c) tells the observer: one record an event, in the ring's order.
//
//     KernelEvent | piece | piece | …       piece: KernelPiece | its bytes, padded to 8
//
// C, for both sides.
#pragma once

#ifdef __cplusplus
#include <linux/types.h>
namespace unfreed::trace {
#endif

enum KernelEventType {
  kEventCallBegins = 1,  ///< a close: before the number can be another's
  kEventCallEnded,
  kEventForked,    ///< a thread or a process has been made, and has not run yet: numbers[] below
  kEventExecuted,  ///< another program begins
  kEventMapped,    ///< code of a file: numbers[] below
  kEventEnded,     ///< a thread; numbers[kEndedProcess]: with it its process. `result`: status as wait() has it
};

enum KernelEventNumber {
  kForkedProcess = 0,
  kForkedThread,
  kForkedSharesFiles,
  kForkedStart,        ///< as kExecutedStart
  kExecutedStart = 0,  ///< of the process: ns since the machine's start
  kExecutedParent,
  kExecutedUser,
  kMappedStart = 0,
  kMappedBytes,
  kMappedOffset,
  kEndedProcess = 0,
  kEndedParent,
  kEndedForgotten,  ///< the kernel keeps nothing of it for its parent
  kEventNumbers = 4,
};

enum KernelPieceKind {
  kPieceMemory = 1,  ///< of the thread, at `address`
  kPieceStack,       ///< the same, from the stack pointer on
  kPieceTable,       ///< a bit for each number: open descriptors. `address`: 1 if there may be more
  kPiecePath,        ///< names, each NUL-terminated and padded to 8 bytes, from the file up to the root
  kPieceName,        ///< the path in the call that executed the program
  kPieceArguments,   ///< of the program, each NUL-terminated
  kPieceAuxiliary,   ///< the auxiliary vector
};

enum {
#if defined(__TARGET_ARCH_x86) || defined(__x86_64__)
  kRegisterWords = 21,  ///< the first of user_regs_struct: pt_regs
#else
  kRegisterWords = 34,  ///< user_regs_struct
#endif
  kMostCalls = 1024,  ///< numbers of system calls
  kMostConditions = 16,
  kMostTableBytes = 8192,  ///< 65,536 descriptors
};

/// Set before the program is loaded.
struct KernelConstants {
  __u32 stack_bytes;  ///< of each stack, at most; a multiple of a page
  __u32 wake_at;      ///< the observer is woken once more than so many bytes wait for it
  __u32 follows_children;
};

struct KernelEvent {
  __u16 type;
  __u16 row;  ///< of a call: its index (calls.h)
  __u32 process;
  __u32 thread;
  __u32 unused;
  __u64 time_ns;  ///< CLOCK_MONOTONIC
  __s64 result;
  __u64 numbers[kEventNumbers];
  __u64 registers[kRegisterWords];
};

struct KernelPiece {
  __u64 address;
  __u32 kind;
  __u32 bytes;
};

/// What of a call's memory is copied: of its argument.
enum KernelCopies {
  kCopiesNothing,
  kCopiesText,
  kCopiesPair,      ///< two numbers
  kCopiesPeer,      ///< an address, whose size the next argument leads to
  kCopiesMessage,   ///< a msghdr, and what came with it
  kCopiesMessages,  ///< an array of mmsghdr
  kCopiesStatus,    ///< of a child
  kCopiesInfo,      ///< siginfo_t
  kCopiesCode,      ///< of mmap: the file's path, if code of it has been mapped
};

/// A row of calls.inc, by the call's number.
struct KernelCall {
  __u16 row;  ///< index + 1; 0: none
  __u8 copies;
  __u8 argument;
  __u8 is_told_first;  ///< when it begins; and when it has ended only if there was nothing to close
  __u8 is_fd_call;
  __u8 condition_argument;
  __u8 conditions;  ///< 0: always
  __u32 values[kMostConditions];
};

#ifdef __cplusplus
}  // namespace unfreed::trace
#endif
