// System calls without libc's wrappers: no errno, no cancellation point, no interposed symbol on the way. What the
// runtime uses inside other people's processes. Results are the kernel's: −errno on failure. Async-signal-safe.
#pragma once

#include <fcntl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace unfreed::base {

/// The system call, past libc. −EPERM, and nothing done, between forbid_system_calls() and allow_system_calls().
long raw_syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0);

/// A process in a sandbox (seccomp) dies of a system call that it did not foresee, and it did not foresee ours. Where
/// `may_read_clock` is false, or the vDSO cannot read it without the kernel, time stands still from here on.
void forbid_system_calls(bool may_read_clock);
void allow_system_calls();
bool may_call_system();
/// The one call that a process at its end makes in any case.
[[noreturn]] void end_process(int status);

inline bool is_error(long result) { return static_cast<unsigned long>(result) > -4096UL; }

/// Anonymous private memory, zeroed, lazily backed, apart from the program's; nullptr when there is none.
void* map_memory(size_t bytes);
void unmap_memory(void* address, size_t bytes);
/// Large tables say nothing to whoever looks into a core dump, and need not make it larger.
void leave_out_of_dumps(void* start, size_t bytes);
/// An address many gigabytes away from where the kernel puts mappings: from there on, upwards and downwards, nothing is
/// in the way, and what is mapped is in nobody's.
uintptr_t apart_from_program();
/// Backs memory that is about to be used (MADV_POPULATE_WRITE, Linux 5.14; −EINVAL before). A page that is read before
/// it is written to costs two faults otherwise; where there is no storage for a shared one, a touch would be SIGBUS.
/// `start` lies at a page's beginning.
long populate_memory(void* start, size_t bytes);

/// Copies memory that need not be there, of this process (`pid` 0) or another one (any of its live threads' numbers):
/// the number of bytes, fewer where not all of them can be read, or −errno. Shared memory that is not backed yet is
/// backed by it.
long copy_memory(int pid, uintptr_t from, void* to, size_t bytes);

/// The working directory, absolute; "" where it has none that could be named again: it has been deleted, lies outside
/// the root directory, or is too long for `out`.
std::string_view current_directory(std::span<char> out);

/// Of a descriptor of this process, by the kernel's word. A filter (seccomp) may refuse to be asked.
enum class Openness : uint8_t { closed, open, unknown };
Openness openness_of(int fd);

long open_file(const char* path, int flags, int mode = 0);
void close_file(long fd);
/// Writes all of `text`, going on after partial writes and EINTR. False when the kernel refuses.
bool write_all(long fd, std::string_view text);
/// Reads a whole small file into `out`; returns the bytes read (≤ capacity), or −errno where there were none to be had.
long read_file(const char* path, char* out, size_t capacity);

/// 0 where it may not be asked.
int current_pid();
int current_tid();
[[gnu::hot]] uint64_t monotonic_ns();
/// The same clock as of the last tick (some milliseconds ago), for a fraction of the price.
[[gnu::hot]] uint64_t coarse_monotonic_ns();
uint64_t realtime_ns();

}  // namespace unfreed::base
