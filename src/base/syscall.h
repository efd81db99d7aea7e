// System calls without libc's wrappers: no errno, no cancellation point, no interposed symbol. The runtime uses them
// inside other people's processes. Results are the kernel's: −errno on failure. Async-signal-safe.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace unfreed::base {

/// Makes the system call directly. Between forbid_system_calls() and allow_system_calls() does nothing: −EPERM.
long raw_syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0);

/// A process that restricts its system calls (seccomp) dies of one that it did not allow, and it does not know ours.
/// Strict mode also forbids to read the processor's clock: if `may_read_clock` is false, or the vDSO cannot read it
/// without the kernel, times are those of the last tick from here on.
void forbid_system_calls(bool may_read_clock);
void allow_system_calls();
/// For good: the processor's clock may be forbidden at any time, unseen.
void read_coarse_clock();
/// A process can restrict its system calls without libc, by an instruction of its own, which no hook sees. From now on
/// the kernel is asked whether it has (prctl), before any call that a filter may have on a list of fatal ones. Once it
/// has, calls are forbidden, and `noticed` is called. A filter that does not allow prctl either is still fatal:
/// `asking` is called before and after, so that the ledger says what the process died of.
void watch_for_sandbox(void (*noticed)(), void (*asking)(bool));
void watch_for_sandbox_in_fork_child();
/// In a process that was started with a filter, as in most containers, filters must be counted, which needs a
/// descriptor for a moment. Before calls of many kinds.
void count_sandboxes();
/// May system calls be made?
bool may_call_system();
/// While it exists, none of the program's code runs in this process: the kernel is asked once, and not before each
/// call.
class AloneInProcess {
 public:
  /// `is_alone` false: without effect.
  explicit AloneInProcess(bool is_alone = true);
  ~AloneInProcess();
  AloneInProcess(const AloneInProcess&) = delete;
  AloneInProcess& operator=(const AloneInProcess&) = delete;

 private:
  bool was_alone_;
};
/// The one call that a process makes at its end in any case.
[[noreturn]] void end_process(int status);

inline bool is_error(long result) { return static_cast<unsigned long>(result) > -4096UL; }

/// Anonymous private memory, zeroed, lazily backed, apart from the program's; nullptr if there is none.
void* map_memory(size_t bytes);
void unmap_memory(void* address, size_t bytes);
/// What map_memory() has mapped and has not been unmapped since: `index` from 0 until false; an empty range is none.
struct AddressRange {
  uintptr_t low;
  uintptr_t high;
};
bool passing_memory(size_t index, AddressRange& out);
/// Has there been more than could be noted?
bool is_passing_memory_unknown();
/// Maps at `address`, a multiple of the page size, or not at all; the other arguments are those of mmap(2). −EEXIST:
/// something is mapped there already, or so near below that it would be in a growing stack's way.
long map_at(uintptr_t address, size_t bytes, int protection, int flags, long fd = -1, uint64_t offset = 0);
/// The kernel will lock, and so back, all memory that is mapped from now on (mlockall(2)); not what is mapped here.
void set_future_locked(bool is_locked);
/// How private memory is mapped: lazily backed, and without reserving what may never be touched.
inline constexpr int kPrivateMemory = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
/// Leaves memory out of core dumps: large tables would only make them larger.
void leave_out_of_dumps(void* start, size_t bytes);
/// An address many gigabytes away from where the kernel puts mappings: nothing is mapped near it, in either direction,
/// and mappings there are in nobody's way.
uintptr_t apart_from_program();
/// Allocates memory that is about to be used (MADV_POPULATE_WRITE, Linux 5.14; −EINVAL before). Otherwise a page that
/// is read before it is written to costs two faults, and touching a shared one without storage raises SIGBUS.
/// `start` is the start of a page.
long populate_memory(void* start, size_t bytes);
/// Memory that will be touched from end to end: the kernel may back it by huge pages (MADV_HUGEPAGE), each by one
/// fault. Where it has none, or is not to use them, nothing changes. `start` is the start of a page.
void prefer_huge_pages(void* start, size_t bytes);

/// Copies memory that may not be mapped, of this process (`pid` 0) or another one (the number of any live thread).
/// Returns the number of bytes, fewer if not all can be read, or −errno. Shared memory without storage gets it
/// by this.
long copy_memory(int pid, uintptr_t from, void* to, size_t bytes);

/// May the byte at this address be read? False also if the kernel may not be asked.
bool can_read(const void* address);

/// The working directory, absolute; "" if it cannot be named: it has been deleted, lies outside
/// the root directory, or is too long for `out`.
std::string_view current_directory(std::span<char> out);

/// Of a descriptor of this process, by the kernel's word. A filter (seccomp) may refuse to be asked.
enum class Openness : uint8_t { closed, open, unknown };
Openness openness_of(int fd);

long open_file(const char* path, int flags, int mode = 0);
void close_file(long fd);
/// Writes all of `text`, continuing after partial writes and EINTR. False if the kernel refuses.
bool write_all(long fd, std::string_view text);
/// Reads a whole small file into `out`; returns the bytes read (≤ capacity), or −errno if it could not be read.
long read_file(const char* path, char* out, size_t capacity);

/// 0 if access is denied.
int current_pid();
int current_tid();
[[gnu::hot]] uint64_t monotonic_ns();
/// The same clock as of the last tick (some milliseconds ago), at a fraction of the cost.
[[gnu::hot]] uint64_t coarse_monotonic_ns();
uint64_t realtime_ns();

}  // namespace unfreed::base
