// The ledger's on-disk (shared memory) format.
//
// One ledger belongs to one process image. The runtime writes it while the process runs; anyone who has permission may
// read it, during the process's life or after. Nothing in it is a pointer: references are record indexes or byte
// offsets into the strings section, and every table is an array at a fixed offset in a sparse file:
//
//     ┌────────┬─────────┬─────────┬───────┬───────┬─────┬─────────┬────────┬────────┬────────────┬──────────┬───
//     │ Header │ strings │ modules │ nodes │ sites │ fds │ threads │ chunks │ chunks │ kernel fds │ failures │ …
//     │ 4 KiB  │         │         │       │       │     │         │ (heads)│ (cells)│            │          │
//     └────────┴─────────┴─────────┴───────┴───────┴─────┴─────────┴────────┴────────┴────────────┴──────────┴───
//
// Only touched pages exist. `Section` in the header says where each table is, how many records it can hold and how many
// are in use. All integers are in the byte order of the machine that wrote them; `byte_order` tells.
//
// The writer publishes a record before it publishes a reference to it (release stores); a reader that follows only
// references it has read (acquire loads) sees whole records. Counters are read with relaxed loads and may be mid-flight
// while the process runs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace unfreed::ledger {

inline constexpr char kMagic[8] = {'U', 'N', 'F', 'R', 'E', 'E', 'D', 'L'};
inline constexpr uint32_t kFormatVersion = 6;
inline constexpr uint32_t kByteOrder = 0x01020304;
inline constexpr size_t kPageBytes = 4096;

/// What a record is about. The numbers are part of the format.
enum class Kind : uint8_t {
#define KIND(name, number, noun, by_default, recorded, news) name = number,
#include "ledger/kinds.inc"
#undef KIND
};
inline constexpr size_t kKindCount = 0
#define KIND(name, number, noun, by_default, recorded, news) +1
#include "ledger/kinds.inc"
#undef KIND
    ;
inline constexpr size_t kKindSlots = 16;  ///< room for kinds to come

/// The state of the process, as its runtime last recorded it.
enum class State : uint32_t {
  starting = 0,  ///< created, header not complete: not to be read
  live = 1,      ///< tracking
  ended = 2,     ///< the runtime saw the end (exit_status is valid, kernel facts are taken)
  replaced = 3,  ///< the process has called exec: this image makes no report
};

/// How much of a kind was seen.
enum class Coverage : uint8_t {
  off = 0,
  exact = 1,
  sampled = 2,
  partial = 3,
  unavailable = 4,
  unconfirmed = 5,  ///< in reports only: from the process's own calls, not compared with the kernel's list at its end
};

/// A reference to NUL-terminated text: byte offset into the strings section. 0 is "none" (offset 0 holds "").
using StringRef = uint32_t;

enum class SectionId : uint32_t {
#define SECTION(name, Record, records, reserved, scales, accessor) name,
#include "ledger/sections.inc"
#undef SECTION
};
inline constexpr size_t kSectionCount = 0
#define SECTION(name, Record, records, reserved, scales, accessor) +1
#include "ledger/sections.inc"
#undef SECTION
    ;
inline constexpr size_t kSectionSlots = 24;  ///< room for sections to come; unknown ones are skipped

/// The position of a table. `count` is the number of records ever handed out, and may exceed `capacity` if it is full:
/// readers use min(count, capacity).
struct Section {
  uint64_t offset;    ///< bytes from the start of the file, page aligned
  uint64_t capacity;  ///< records
  uint32_t record_bytes;
  uint32_t reserved;
  std::atomic<uint64_t> count;  ///< records
};
static_assert(sizeof(Section) == 32);

/// What could not be recorded, by reason.
enum class Dropped : uint32_t {
#define DROPPED(name, meaning) name,
#include "ledger/dropped.inc"
#undef DROPPED
};
inline constexpr size_t kDroppedCount = 0
#define DROPPED(name, meaning) +1
#include "ledger/dropped.inc"
#undef DROPPED
    ;
inline constexpr size_t kDroppedSlots = 32;

/// Process-wide counters of a kind that belong to no site.
struct KindTotals {
  std::atomic<uint64_t> acquired;  ///< fd and thread only (heap is summed from sites)
  std::atomic<uint64_t> live;
  std::atomic<uint64_t> peak;  ///< 0 for heap: not tracked
  std::atomic<uint64_t>
      foreign_released;  ///< released here though never seen acquired (before start, inherited, other hooked function)
};
static_assert(sizeof(KindTotals) == 32);

inline constexpr uint32_t kHeaderFlagRoot = 1u << 1;    ///< the first process of its run: what was started with unfreed
inline constexpr uint32_t kHeaderFlagForked = 1u << 2;  ///< a fork child that has not called exec
inline constexpr uint32_t kHeaderFlagPrivate = 1u << 3;        ///< no shared memory: this ledger has no file
inline constexpr uint32_t kHeaderFlagForeignMalloc = 1u << 5;  ///< the process's malloc is not glibc's
inline constexpr uint32_t kHeaderFlagReconciled = 1u << 4;     ///< kernel_fds is filled in
/// The process restricted its system calls (seccomp): from then on the runtime made none.
inline constexpr uint32_t kHeaderFlagSandboxed = 1u << 9;
/// As above, but that is only assumed: the program's own code does so past every hook.
inline constexpr uint32_t kHeaderFlagMaybeSandboxed = 1u << 10;
/// The runtime is making the system call that tells it of an unseen filter. If the process ends here, it died of that.
inline constexpr uint32_t kHeaderFlagAsking = 1u << 11;
inline constexpr uint32_t kHeaderFlagThreadsListed = 1u << 7;  ///< kernel_tasks has every thread
inline constexpr uint32_t kHeaderFlagChildrenListed =
    1u << 8;  ///< kernel_tasks has every child that is in the kernel's table

/// The process was traced from outside: a runtime in it, if there is one, has a ledger of its own.
inline constexpr uint32_t kHeaderFlagTraced = 1u << 12;
/// By a program in the kernel (eBPF), which stops nothing.
inline constexpr uint32_t kHeaderFlagObserved = 1u << 17;
/// It was traced while it ran: what it had then is inherited, and started_monotonic_ns is when that began.
inline constexpr uint32_t kHeaderFlagAttached = 1u << 15;
/// At the last grading, what the kernel keeps of epoll_ctl(2) was not of the same moment as memory.
inline constexpr uint32_t kHeaderFlagGradedInDoubt = 1u << 13;
/// At the last grading, the kernel may have had pointers in requests that it had not answered (io_uring, aio).
inline constexpr uint32_t kHeaderFlagGradedInFlight = 1u << 16;
/// The runtime was in the traced process, too: what it has recorded was added (ledger/library_part.h).
inline constexpr uint32_t kHeaderFlagJoined = 1u << 18;
/// The runtime in the traced process has begun a ledger, without which this one says too little.
inline constexpr uint32_t kHeaderFlagHasLibraryPart = 1u << 19;
/// It was traced since another process, which has started it, or this one was attached to.
inline constexpr uint32_t kHeaderFlagOfAttachment = 1u << 20;
/// Orphans become children of the process: it is process 1, or has asked for them (PR_SET_CHILD_SUBREAPER).
inline constexpr uint32_t kHeaderFlagAdopts = 1u << 21;
inline constexpr uint32_t kHeaderFlagNoneEnded = 1u << 14;  ///< when the process began to end, no child had ended
static_assert((kHeaderFlagRoot + kHeaderFlagForked + kHeaderFlagPrivate + kHeaderFlagForeignMalloc +
               kHeaderFlagReconciled + kHeaderFlagSandboxed + kHeaderFlagMaybeSandboxed + kHeaderFlagAsking +
               kHeaderFlagThreadsListed + kHeaderFlagChildrenListed + kHeaderFlagTraced + kHeaderFlagAttached +
               kHeaderFlagGradedInDoubt + kHeaderFlagGradedInFlight + kHeaderFlagNoneEnded + kHeaderFlagObserved +
               kHeaderFlagJoined + kHeaderFlagHasLibraryPart + kHeaderFlagOfAttachment + kHeaderFlagAdopts) ==
                  (kHeaderFlagRoot | kHeaderFlagForked | kHeaderFlagPrivate | kHeaderFlagForeignMalloc |
                   kHeaderFlagReconciled | kHeaderFlagSandboxed | kHeaderFlagMaybeSandboxed | kHeaderFlagAsking |
                   kHeaderFlagThreadsListed | kHeaderFlagChildrenListed | kHeaderFlagTraced | kHeaderFlagAttached |
                   kHeaderFlagGradedInDoubt | kHeaderFlagGradedInFlight | kHeaderFlagNoneEnded | kHeaderFlagObserved |
                   kHeaderFlagJoined | kHeaderFlagHasLibraryPart | kHeaderFlagOfAttachment | kHeaderFlagAdopts),
              "each flag has a bit of its own");

/// Who makes the last report, the launcher or the process. The process announces that it is deciding, checks if the
/// launcher is gone (Header::launcher_gone), and announces its decision; the launcher announces that it is gone, then
/// reads that, again while the process is deciding.
enum class Handover : uint32_t {
  none = 0,
  deciding = 1,
  left = 2,    ///< to the launcher
  itself = 3,  ///< the process makes it
};

/// What the report signal carries (sigqueue) to request a grading alone, without a report: in the lower half of the
/// value. In the upper half is the digest (base/waiting_call.h) of the call that the thread waits in that will get it.
inline constexpr uint32_t kGradingRequest = 0x6772ad3e;
/// The same for the request to collect the copy that has found it out. Nothing happens while that has not ended.
inline constexpr uint32_t kCollectRequest = 0x6772ad3f;

/// Has the heap been graded: which blocks the program can still get at?
enum class Grading : uint32_t {
  none = 0,
  done = 1,     ///< `grades` is filled in
  refused = 2,  ///< it was wanted, and could not be
};

/// Is it known what each root and node of `retention` retains?
enum class RetainedSizes : uint32_t {
  none = 0,  ///< nothing was graded, or nothing is kept
  known = 1,
  too_large = 2,  ///< there were too many blocks or pointers, or it would have taken too long
};

/// Where a path of pointers to reachable heap blocks begins.
enum class RootKind : uint8_t {
  none = 0,
  variable = 1,         ///< of a loaded object
  thread_variable = 2,  ///< thread-local, or another thing that libc keeps with a thread
  stack = 3,
  registers = 4,
  memory = 5,       ///< a mapping that the program made
  region = 6,       ///< named by the program (__lsan_register_root_region)
  request = 7,      ///< the block itself is in use, says the program (__lsan_ignore_object)
  libc = 8,         ///< variables of libc or of the loader
  epoll = 9,        ///< given to the kernel with a descriptor to be watched (epoll_ctl)
  timer = 10,       ///< given to the kernel with a timer (timer_create)
  kernel = 11,      ///< perhaps in a request that the kernel has not answered yet (io_uring, aio)
  thread_key = 12,  ///< pthread_setspecific
  hidden = 13,  ///< a pointer in unusual form, wherever it lies: packed, or with tags and into the middle of a block
};

struct Header {
  char magic[8];
  uint32_t format_version;
  uint32_t byte_order;
  uint64_t file_bytes;                ///< apparent size of the (sparse) file
  uint32_t header_bytes;              ///< sizeof(Header)
  std::atomic<uint32_t> state;        ///< State
  std::atomic<uint32_t> flags;        ///< kHeaderFlag…
  std::atomic<uint32_t> is_reported;  ///< 1: the last report has been made, nobody needs this ledger any more

  int32_t pid;  ///< in its own pid namespace
  int32_t ppid;
  uint32_t uid;
  int32_t exit_status;  ///< valid in State::ended; −signal where the process ended itself by one (abort)
  int32_t main_tid;
  int32_t launcher_pid;              ///< of `unfreed run`; 0 without
  uint64_t pid_namespace;            ///< the inode of that namespace; 0 unknown
  uint64_t process_start_ticks;      ///< field 22 of /proc/PID/stat; 0 unknown
  uint64_t boot;                     ///< number of the boot of the machine; 0 in memory, which no boot survives
  uint64_t created_boottime_ns;      ///< CLOCK_BOOTTIME: a process with that pid that has started later is another one
  uint64_t started_realtime_ns;      ///< CLOCK_REALTIME
  uint64_t started_monotonic_ns;     ///< CLOCK_MONOTONIC; all later times are on this clock
  uint64_t ended_monotonic_ns;       ///< valid in State::ended
  uint64_t reconciled_monotonic_ns;  ///< when kernel_fds was filled in: descriptors taken later are not missing from it

  StringRef run;   ///< the launcher's session, or which process was started with the library; or none
  StringRef exe;   ///< absolute path
  StringRef argv;  ///< arguments, each NUL-terminated, `argv_count` of them (possibly cut)
  uint32_t argv_count;
  StringRef directory;   ///< where it was started; absolute, or none if not known
  StringRef script;      ///< of a shell: the file that it was started to read, as the kernel names it
  StringRef settings;    ///< those that an evaluation uses (settings/settings.h)
  StringRef hook_names;  ///< all names of acquiring functions, each NUL-terminated; Site::hook indexes them
  uint32_t hook_count;
  uint32_t kinds_tracked;               ///< bit per Kind
  uint32_t depth;                       ///< UNFREED_DEPTH
  std::atomic<uint32_t> report_count;   ///< reports made so far (`%n`)
  std::atomic<uint32_t> fold_sequence;  ///< odd while a finished thread's counters are being folded into the sites
  StringRef program;                    ///< the name it was started by, without folders: the value of %e
  std::atomic<uint32_t> exhausted_by;   ///< index + 1 of the failure that the last report on exhaustion was made for
  std::atomic<uint32_t> launcher_gone;  ///< 1: it accepts no more ledgers. Written to the file by the launcher
  std::atomic<uint32_t> handover;       ///< Handover

  /// UNFREED_SAMPLE: mean distance in bytes between the points of the heap that are sampled; 0: all blocks tracked. The
  /// heap's counts of blocks and bytes are then estimates, in units of 1 / 2^kSampledCountShift.
  uint64_t sample_bytes;
  std::atomic<uint64_t> sample_variance_blocks;  ///< of the estimate of live blocks: the bits of a double
  std::atomic<uint64_t> sample_variance_bytes;   ///< of live bytes
  /// Private memory of the process that is in use (the runtime's included), at the last reconciliation; 0
  /// unknown.
  std::atomic<uint64_t> private_bytes;

  std::atomic<uint32_t> grading;       ///< Grading
  std::atomic<int32_t> report_signal;  ///< that the runtime has taken for requests; 0: none
  std::atomic<uint64_t> lost_since;    ///< blocks lost that were born since the mark that was asked about
  StringRef no_grading;                ///< why there is none, in Grading::refused
  uint64_t graded_monotonic_ns;        ///< when, in Grading::done

  uint8_t coverage[kKindSlots];           ///< Coverage
  StringRef coverage_reason[kKindSlots];  ///< why not exact
  KindTotals totals[kKindSlots];
  std::atomic<uint64_t> dropped[kDroppedSlots];  ///< Dropped
  Section sections[kSectionSlots];

  StringRef no_goroutines;               ///< of a Go program: why they are not known
  std::atomic<int32_t> own_copy;         ///< pid of the runtime's copy of the process; kCopyBeingMade; 0: there is none
  std::atomic<uint32_t> retained_sizes;  ///< RetainedSizes, of the last grading
  StringRef test;                        ///< that ran when the process was started; or none
  /// Its wait status + 1, if it has not reached State::ended and its parent has noted it (ledger/wait_status.h); 0
  /// unknown.
  std::atomic<uint32_t> noted_end;
};
static_assert(sizeof(Header) <= kPageBytes);

/// In Header::own_copy: the kernel may list the copy already.
inline constexpr int32_t kCopyBeingMade = -1;

inline constexpr unsigned kSampledCountShift = 10;

/// A loaded object. A slot is never reused: a library loaded again elsewhere, or another one at the same address, gets
/// a new one, so (module, offset) stays valid for stacks recorded earlier.
struct Module {
  uint64_t base;   ///< load bias: address minus the ELF file's own virtual address
  uint64_t start;  ///< lowest mapped address
  uint64_t end;    ///< one past the highest
  StringRef path;
  uint16_t build_id_bytes;  ///< 0 where there is none
  uint16_t flags;           ///< kModule…
  uint8_t build_id[32];
  uint64_t reserved[4];
};
static_assert(sizeof(Module) == 96);
inline constexpr uint16_t kModuleMain = 1u << 0;     ///< the executable
inline constexpr uint16_t kModuleRuntime = 1u << 1;  ///< libunfreed.so itself

/// A frame in the tree of stacks: the path to the root, parent by parent, is the stack, innermost frame first.
struct Node {
  uint32_t parent;  ///< node index; 0 ends the stack
  uint32_t module;  ///< module index in the low bits, kNodeExactPc above
  uint64_t offset;  ///< address minus Module::base; an absolute address where the module is 0
};
static_assert(sizeof(Node) == 16);
/// The offset is an instruction's own address (a frame interrupted by a signal), not a return address. For all other
/// nodes the calling line is found at offset − 1.
inline constexpr uint32_t kNodeExactPc = 1u << 31;
/// A line of a program whose interpreter or runtime says where it is, not an address: there is no module, and the
/// offset is the line in its upper half, and below it a StringRef to the source file's path, the function's name and
/// the line where that begins, each NUL-terminated.
inline constexpr uint32_t kNodeSource = 1u << 30;
inline constexpr uint32_t kNodeModuleMask = 0x00ffffff;
/// Offsets in a module from here on are those of its thread-local variables: no file's own addresses reach so far.
inline constexpr uint64_t kThreadLocals = uint64_t{1} << 48;

/// Plain counters, and those of a counter cell. live = acquired − released.
struct Counts {
  uint64_t acquired;
  uint64_t released;
  uint64_t acquired_bytes;
  uint64_t released_bytes;
};

/// One distinct (kind, acquiring function, stack).
struct Site {
  uint8_t kind;                    ///< Kind
  uint8_t flags;                   ///< kSite…
  uint16_t hook;                   ///< index into Header::hook_names
  uint32_t node;                   ///< innermost frame
  std::atomic<uint64_t> acquired;  ///< heap: from finished threads; running threads' share is in their chunks
  std::atomic<uint64_t> released;
  std::atomic<uint64_t> acquired_bytes;
  std::atomic<uint64_t> released_bytes;
  std::atomic<uint64_t> peak;  ///< highest number live at once; 0 for heap: not tracked
  uint64_t first_ns;           ///< CLOCK_MONOTONIC of the first acquisition
  /// What was live when the kind had its peak: `live_then` if `peak_then` is that peak (its low half), else what is
  /// live now, for nothing has changed here since. Of the heap: the fewest that a look (SiteHistory) has found live
  /// here, and since when, in units of kLowUnitShift; 0: there was no look yet.
  std::atomic<uint32_t> peak_then;
  std::atomic<uint32_t> live_then;

  /// As of a site that has never been used. Nothing is written where nothing changes.
  void forget_counts() {
    auto forget = [](auto& count) {
      if (count.load(std::memory_order_relaxed)) count.store(0, std::memory_order_relaxed);
    };
    for (auto* count : {&acquired, &released, &acquired_bytes, &released_bytes, &peak}) forget(*count);
    for (auto* count : {&peak_then, &live_then}) forget(*count);
  }
};
static_assert(sizeof(Site) == 64);
inline constexpr uint8_t kSiteTruncated = 1u << 0;  ///< outer frames are missing (depth, no unwind information)
inline constexpr uint8_t kSiteLibc = 1u << 1;  ///< held by libc or a language runtime for its own use: does not count
inline constexpr uint8_t kSiteOverflow = 1u << 2;    ///< represents all sites that there was no room for
inline constexpr uint8_t kSiteWithinLibc = 1u << 3;  ///< libc allocated, for itself or for its caller

inline constexpr unsigned kLowUnitShift = 26;  ///< 2^26 ns after the process's start, 67 ms, is 1

/// What was live at a site at one time.
struct HistorySample {
  std::atomic<uint64_t> at_ns;  ///< CLOCK_MONOTONIC; 0: no sample, or it is being written
  std::atomic<uint64_t> live;
  std::atomic<uint64_t> bytes;
};
/// The history of a site whose live count has grown: samples at distances from now that double, two of each
/// (history.h).
inline constexpr unsigned kHistoryLevels = 20;
inline constexpr unsigned kHistorySamples = 2 * kHistoryLevels;
struct SiteHistory {
  std::atomic<uint32_t> site;  ///< 0: not yet in use
  uint32_t reserved;
  HistorySample samples[kHistorySamples];
};
static_assert(sizeof(SiteHistory) == 968);

/// A descriptor's state, in one word that is written and read atomically:
///   bits 0–31 serial (grows with every acquisition in the process), 32–55 site index, 56–63 FdOrigin. 0: not open.
enum class FdOrigin : uint8_t {
  none = 0,
  acquired = 1,   ///< through a hooked function: the site says which
  inherited = 2,  ///< open when the process started, or at fork
  received = 3,   ///< in a message (SCM_RIGHTS)
  libc = 4,       ///< libc's own (syslog, name service …)
  ignored = 5,    ///< at the program's request (unfreed_ignore_fd)
  found = 6,      ///< in the kernel's list, when that was read for the last time: nobody saw who acquired it
};
/// A descriptor that was closed: what it was, and who closed it.
struct ClosedFd {
  std::atomic<uint64_t> word;  ///< FdRecord::word as it was; 0: none
  uint64_t acquired_ns;
  uint64_t closed_ns;    ///< not before acquired_ns
  uint64_t left_owner;   ///< the stream that owned it and does not know that it was closed; 0: none
  uint32_t tid;          ///< who acquired it
  uint32_t closed_site;  ///< who closed it: a site that acquires nothing
  uint32_t closed_tid;
  uint32_t reserved;
};
static_assert(sizeof(ClosedFd) == 48);

/// What a descriptor was acquired with, for reports on a process that has gone: nobody can ask the kernel then.
enum class FdTargetForm : uint8_t {
  none = 0,
  path = 1,     ///< as it was given, its end where it is long
  peer = 2,     ///< a struct sockaddr: who is connected
  address = 3,  ///< a struct sockaddr: its own
};
struct FdTarget {
  std::atomic<uint32_t> serial;  ///< of the descriptor that it is about
  uint8_t form;                  ///< FdTargetForm
  uint8_t bytes;                 ///< in use
  uint8_t cut;                   ///< 1: the beginning of a path is missing
  uint8_t reserved;
  char value[112];
};
static_assert(sizeof(FdTarget) == 120);

struct FdRecord {
  std::atomic<uint64_t> word;
  uint64_t acquired_ns;  ///< CLOCK_MONOTONIC
  uint32_t tid;          ///< who acquired it
  uint16_t owner_kind;   ///< FdOwner
  uint16_t flags;        ///< kFd…
  uint64_t owner;        ///< address of the FILE or DIR, or (kFdGoroutine) the goroutine that acquired it; else 0
  ClosedFd closed;       ///< the last that had this number and was closed
  ClosedFd before;       ///< the one before that
  FdTarget target;
  std::atomic<uint32_t> lost_serial;  ///< of the descriptor whose stream nothing led to at the last grading; 0: none
  uint32_t reserved;
};
static_assert(sizeof(FdRecord) == 256);
/// The program asked for this very number (dup2), or duplicated or reopened something: a standard stream's number that
/// was got so is the program's standard stream.
inline constexpr uint16_t kFdPlaced = 1u << 0;
// Reading from it may give new descriptors.
inline constexpr uint16_t kFdFanotify = 1u << 1;
inline constexpr uint16_t kFdUserfault = 1u << 2;
inline constexpr uint16_t kFdGoroutine = 1u << 3;
/// Two streams have been made for it (fdopen twice).
inline constexpr uint16_t kFdShared = 1u << 4;
enum class FdOwner : uint32_t { none = 0, file_stream = 1, directory_stream = 2, popen_stream = 3, message_queue = 4 };

constexpr uint64_t fd_word(FdOrigin origin, uint32_t site, uint32_t serial) {
  return uint64_t{static_cast<uint8_t>(origin)} << 56 | uint64_t{site & 0xffffff} << 32 | serial;
}
constexpr FdOrigin fd_origin(uint64_t word) { return static_cast<FdOrigin>(word >> 56); }
constexpr uint32_t fd_site(uint64_t word) { return static_cast<uint32_t>(word >> 32) & 0xffffff; }
constexpr uint32_t fd_serial(uint64_t word) { return static_cast<uint32_t>(word); }

enum class ThreadState : uint32_t {
  free = 0,  ///< the slot is empty: never used, or the thread was released (joined, or detached and finished)
  running = 1,
  finished = 2,  ///< has ended and was neither joined nor detached: a leak
};
struct ThreadRecord {
  std::atomic<uint32_t> state;       ///< ThreadState
  std::atomic<uint32_t> flags;       ///< kThread…
  std::atomic<uint32_t> generation;  ///< of this slot
  uint32_t site;                     ///< where it was created; 0 for the main thread and unattributed threads
  int32_t tid;
  int32_t creator_tid;
  std::atomic<uint64_t> handle;  ///< pthread_t; odd while it is not known yet, 0 when it is no thread's
  uint64_t start_module_offset;  ///< the start routine, as Node::offset
  uint32_t start_module;         ///< as Node::module
  uint32_t serial;
  uint64_t started_ns;
  uint64_t finished_ns;
  uint64_t stack_low;
  uint64_t stack_high;
  char name[16];
  uint64_t current_ns;    ///< when its current stack was looked up; 0: never
  uint32_t current_node;  ///< innermost frame of its stack then; 0: not known
  uint32_t current_truncated;
  // What the thread itself allocated minus what it freed itself, whoever allocated that. Of a running thread this is in
  // its chunks.
  int64_t heap_blocks;
  int64_t heap_bytes;
};
static_assert(sizeof(ThreadRecord) == 128);
inline constexpr uint32_t kThreadDetached = 1u << 0;
inline constexpr uint32_t kThreadMain = 1u << 1;
inline constexpr uint32_t kThreadIgnored = 1u << 2;
inline constexpr uint32_t kThreadEnded = 1u << 3;  ///< internal to the writer: tells which side releases the record
inline constexpr uint32_t kThreadLost = 1u << 4;   ///< at the last grading its pthread_t lay nowhere

/// A child process that has been started and not been waited for.
enum class ChildState : uint32_t { free = 0, started = 1 };
struct ChildRecord {
  std::atomic<uint32_t> state;  ///< ChildState
  uint32_t flags;               ///< kChild…
  uint32_t site;                ///< where it was started; 0 if unattributed
  int32_t pid;
  int32_t creator_tid;
  uint32_t serial;
  uint64_t started_ns;
};
static_assert(sizeof(ChildRecord) == 32);
inline constexpr uint32_t kChildInherited = 1u << 0;  ///< was there before the program started, or was attached to
inline constexpr uint32_t kChildIgnored = 1u << 1;

/// Counter deltas of one thread for kChunkCells consecutive sites. The owner adds without atomics.
inline constexpr uint32_t kChunkCells = 128;
struct Cell {
  std::atomic<uint64_t> acquired;
  std::atomic<uint64_t> released;
  std::atomic<uint64_t> acquired_bytes;
  std::atomic<uint64_t> released_bytes;
};
struct Chunk {
  Cell cells[kChunkCells];
};
static_assert(sizeof(Chunk) == 4096);
struct ChunkHead {
  std::atomic<uint32_t> base;  ///< first site index divided by kChunkCells, plus 1; 0: free
  int32_t tid;                 ///< whose counters they are
};
static_assert(sizeof(ChunkHead) == 8);

/// One open descriptor as the kernel knew it at the last reconciliation.
struct KernelFd {
  int32_t fd;
  uint32_t status_flags;  ///< F_GETFL
  uint32_t flags;         ///< kKernelFd…
  StringRef target;  ///< "/var/log/app.log", "tcp 127.0.0.1:80 -> 127.0.0.1:5123 established", "pipe:[123]"; 0 unknown
};
static_assert(sizeof(KernelFd) == 16);
inline constexpr uint32_t kKernelFdCloexec = 1u << 0;
// What a reader from outside finds out, too:
inline constexpr uint32_t kKernelFdHungUp = 1u << 1;  ///< a pipe whose other end nobody has
inline constexpr uint32_t kKernelFdUnread = 1u << 2;  ///< an eventfd that was written to and not read
inline constexpr uint32_t kKernelFdLocked = 1u << 3;  ///< a file lock that goes with it
/// From this bit on: what a deleted file takes on its disk, in blocks of 4 KiB, at most 1 TiB. Of several descriptors
/// of one file, the first has it.
inline constexpr uint32_t kKernelFdDiskShift = 4;
inline constexpr uint64_t kKernelFdDiskBlock = 4096;

/// A hooked function that failed because a limit was reached (EMFILE, ENFILE, ENOMEM, EAGAIN), by hooked function,
/// errno and stack.
struct Failure {
  uint16_t hook;
  uint16_t error;  ///< errno
  uint32_t node;   ///< innermost frame of the first such call
  std::atomic<uint64_t> count;
  uint64_t first_ns;   ///< CLOCK_MONOTONIC
  uint64_t live_then;  ///< live count of the hooked function's kind at the first failure
  int32_t tid;         ///< of the first failure
  uint8_t kind;
  uint8_t truncated;
  uint16_t reserved;
};
static_assert(sizeof(Failure) == 40);

/// Invalid closes.
enum class MisuseKind : uint8_t {
  double_close = 1,     ///< closed, though it had been closed before and not been opened since
  not_open = 2,         ///< closed, though it had never been seen open
  behind_owner = 3,     ///< closed by its number, though a stream owns it
  stale_owner = 4,      ///< a stream whose number was closed behind its back has closed somebody else's descriptor
  standard_closed = 5,  ///< one of 0 to 2 was closed by its number, and not by whom it was opened
};
inline constexpr MisuseKind kLastMisuseKind = MisuseKind::standard_closed;
/// By kind and its three places. Those that do not apply are 0.
struct Misuse {
  uint8_t kind;        ///< MisuseKind
  uint8_t owner_kind;  ///< FdOwner, of behind_owner and stale_owner
  uint16_t reserved;
  int32_t fd;  ///< of the first time
  std::atomic<uint64_t> count;
  uint32_t opened_site;
  uint32_t closed_site;  ///< of the close before
  uint32_t site;         ///< of the misuse
  int32_t opened_tid;
  int32_t closed_tid;
  int32_t tid;
  uint64_t opened_ns;  ///< CLOCK_MONOTONIC, all of the first time
  uint64_t closed_ns;
  uint64_t first_ns;
  // Where the number had been handed out anew between the two closes: whose it was by then.
  uint64_t reopened_ns;
  uint32_t reopened_site;  ///< 0: it had not been
  int32_t reopened_tid;
  // Who had the number before, where one of the closes may have been that owner's second. All 0: nobody, or it is
  // clear.
  uint64_t earlier_opened_ns;
  uint64_t earlier_closed_ns;
  uint32_t earlier_opened_site;
  uint32_t earlier_closed_site;
  int32_t earlier_opened_tid;
  int32_t earlier_closed_tid;
};
static_assert(sizeof(Misuse) == 112);

/// A thread or a child as the kernel knew it at the last reconciliation.
struct KernelTask {
  int32_t id;  ///< tid or pid
  uint8_t is_child;
  char state;  ///< as in /proc/PID/stat: R, S, D, Z …; ' ' where only the caller's own wait functions could be asked
  uint16_t flags;  ///< kTask…
  /// A thread that no hooked function started: where it is blocked (innermost frame). 0: not known, or not asked.
  uint32_t node;
  char name[16];
};
static_assert(sizeof(KernelTask) == 28);
inline constexpr uint16_t kTaskTruncated = 1u << 0;  ///< outer frames of the stack are missing
/// A child that Python's multiprocessing keeps until the process ends, at the other end of a pipe.
inline constexpr uint16_t kTaskPythonHelper = 1u << 2;
inline constexpr uint16_t kTaskLibc = 1u << 1;  ///< a thread that libc started for itself

/// Descriptors without close-on-exec went along into other programs. By site of opening.
inline constexpr uint32_t kExecLeakFilling = 1;
inline constexpr uint32_t kExecLeakValid = 2;
struct ExecLeak {
  std::atomic<uint32_t> state;  ///< kExecLeak…, 0 empty
  int32_t fd;                   ///< of the first time, like all below
  uint32_t site;
  uint32_t serial;
  int32_t caller_pid;  ///< the process that went over to the program, or started it
  uint16_t hook;
  uint16_t reserved;
  std::atomic<uint64_t> count;
  uint64_t acquired_ns;  ///< when it was opened
  char program[88];      ///< as it was named to the exec function, possibly cut; NUL-terminated
  char target[128];      ///< what the descriptor referred to, possibly cut
};
static_assert(sizeof(ExecLeak) == 256);

/// A resource that the program knows by a handle: a timer, a shared memory segment or attachment, a library. Slots are
/// reused; a record is valid while `word` is not 0.
struct HandleRecord {
  std::atomic<uint64_t> word;  ///< bits 0–31 serial (never 0), 32–55 site, 56–63 Kind
  uint64_t id;                 ///< what the program releases it by: a number or an address
  uint64_t acquired_ns;        ///< CLOCK_MONOTONIC
  uint64_t bytes;              ///< where it has a size, else 0
  int32_t tid;                 ///< who acquired it
  uint32_t flags;              ///< kHandle…
  char target[88];             ///< what it refers to, possibly cut; NUL-terminated
};
static_assert(sizeof(HandleRecord) == 128);
inline constexpr uint32_t kHandleIgnored = 1u << 0;  ///< acquired while the program had paused tracking

constexpr uint64_t handle_word(Kind kind, uint32_t site, uint32_t serial) {
  return uint64_t{static_cast<uint8_t>(kind)} << 56 | uint64_t{site & 0xffffff} << 32 | serial;
}
constexpr Kind handle_kind(uint64_t word) { return static_cast<Kind>(word >> 56); }
constexpr uint32_t handle_site(uint64_t word) { return static_cast<uint32_t>(word >> 32) & 0xffffff; }
constexpr uint32_t handle_serial(uint64_t word) { return static_cast<uint32_t>(word); }

/// What of a heap site's blocks the program could not get at, at the last grading. Sites without any have no record.
struct BlocksAndBytes {
  uint64_t blocks;
  uint64_t bytes;
};
struct SiteGrades {
  uint32_t site;
  uint32_t leader;      ///< the site whose lost blocks alone lead to all of `indirectly_lost`; 0: there is none
  BlocksAndBytes lost;  ///< nothing leads to them
  BlocksAndBytes indirectly_lost;  ///< only lost blocks do
  BlocksAndBytes possibly_lost;    ///< only pointers into the middle of a block do
  BlocksAndBytes lost_since;       ///< of `lost`: born since the mark that was asked about, as Header::lost_since
};
static_assert(sizeof(SiteGrades) == 72);

/// Who keeps blocks alive, at the last grading: the shortest paths from roots, put together in a tree (a record comes
/// after its parent's). A record stands for a root, or for blocks of one call site that are reached through those of
/// its parent.
struct RetentionRecord {
  uint32_t parent;  ///< number of its record + 1; 0: it is a root
  uint32_t site;    ///< of the blocks
  uint8_t root;     ///< RootKind
  uint8_t reserved[3];
  int32_t thread;        ///< of a root; 0: no thread's
  uint32_t module;       ///< that `place` is an offset in; 0: it is an address
  uint32_t type_module;  ///< that `type` is an offset in; 0: not known
  /// Of a root: a variable, code of a stack's frame, a mapping, the number of a pthread key. Of a thread-local
  /// variable: kThreadLocals and more, or, without a module, from the thread pointer on.
  uint64_t place;
  uint64_t type;  ///< the table of virtual functions of a block of them
  uint64_t link;  ///< where in a block of the parent the first pointer lies, in bytes; of a root, from its first word
                  ///< to its last
  uint64_t blocks;
  uint64_t bytes;
  uint64_t retained_bytes;  ///< all that would be lost if it let go; in RetainedSizes::known
};
static_assert(sizeof(RetentionRecord) == 72);

/// Live blocks of one site that are of about one age, and of one test, at the last grading.
struct HeapAge {
  uint32_t site;
  uint32_t test;  ///< index + 1 of the TestRecord of the test that ran when they were born; 0: none, or not known
  uint64_t blocks;
  uint64_t bytes;
  uint64_t born_from_ns;  ///< CLOCK_MONOTONIC: none was born before …
  uint64_t born_to_ns;    ///< … or after
};
static_assert(sizeof(HeapAge) == 40);

/// From here on a test runs, as the test framework says in the environment (track/tests.h), or none any more.
struct TestRecord {
  std::atomic<uint32_t> is_valid;
  StringRef name;        ///< 0: no test runs
  uint32_t last_serial;  ///< of what was acquired before it
  uint32_t first_epoch;  ///< birth epoch of the heap blocks that follow; 0: they cannot be told from those before
};
static_assert(sizeof(TestRecord) == 16);

/// How many descriptors that one site acquired were closed at another. Of Go programs, where it is to be told whether
/// the program closed them or its garbage collector did.
struct CloseCount {
  uint32_t opened_site;
  uint32_t closed_site;
  std::atomic<uint64_t> count;
};
static_assert(sizeof(CloseCount) == 16);

/// A goroutine's state, as Go's runtime numbers it (runtime2.go: _Gidle …).
enum class GoroutineState : uint8_t {
  idle = 0,
  runnable = 1,
  running = 2,
  syscall = 3,
  waiting = 4,
  dead = 6,
  copystack = 8,
  preempted = 9,
};
/// A goroutine of the program, or of Go's runtime, as it was when the process's memory was read.
struct GoroutineRecord {
  uint64_t id;
  uint64_t creator;           ///< the goroutine that started it; 0: not known
  uint64_t waiting_since_ns;  ///< CLOCK_MONOTONIC, as a garbage collection noticed it; 0: none did
  uint32_t created_node;      ///< one frame: the go statement
  uint32_t node;              ///< innermost frame of its stack; 0: not known
  StringRef wait_reason;
  uint8_t state;  ///< GoroutineState
  uint8_t truncated;
  uint16_t reserved;
};
static_assert(sizeof(GoroutineRecord) == 40);

/// A program that was started, or that a process went over to, and that was not tracked; by program and reason. There
/// may be several records of the same, to be added up.
inline constexpr uint32_t kUntrackedFilling = 1;
inline constexpr uint32_t kUntrackedValid = 2;
inline constexpr size_t kUntrackedProcesses = 4;
struct Untracked {
  std::atomic<uint32_t> state;  ///< kUntracked…, 0 empty
  std::atomic<uint32_t> count;
  std::atomic<uint32_t> processes_noted;  ///< ever; the newest are kept
  uint8_t obstacle;                       ///< elf::Obstacle
  /// In a ledger: 1 if the run's board could not be written to, as for a process that has become another user.
  uint8_t is_off_board;
  uint8_t reserved[2];
  std::atomic<int32_t> pids[kUntrackedProcesses];         ///< 0 unknown
  std::atomic<uint64_t> started_ns[kUntrackedProcesses];  ///< CLOCK_MONOTONIC
  char program[192];  ///< its path, as far as it is known, possibly cut; NUL-terminated
};
static_assert(sizeof(Untracked) == 256);

/// A run's own list of them, a file beside the ledgers which the launcher makes and all its processes write to: also
/// those that have no ledger, or leave theirs by exec.
struct UntrackedBoard {
  static constexpr char kBoardMagic[8] = {'U', 'N', 'F', 'R', 'E', 'E', 'D', 'U'};
  static constexpr uint32_t kRecords = 127;
  char magic[8];
  std::atomic<uint32_t> count;    ///< records handed out, more than there are when it is full
  std::atomic<uint32_t> dropped;  ///< programs that found no room
  uint8_t reserved[240];
  Untracked records[kRecords];
};
static_assert(sizeof(UntrackedBoard) == 32 * 1024);

}  // namespace unfreed::ledger
