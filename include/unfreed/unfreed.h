/**
 * @file unfreed.h
 * @brief Controls the unfreed runtime from inside a program.
 *
 * Nothing needs to be linked: the functions below call the preloaded runtime if it is loaded, and do nothing
 * (in a handful of instructions) if it is not. A program that uses this header runs unchanged with and without
 * `libunfreed.so`. C and C++.
 *
 * All functions are thread-safe. None of them changes errno. Unless it says otherwise a function may be called from a
 * signal handler.
 */
#ifndef UNFREED_UNFREED_H
#define UNFREED_UNFREED_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The kind of resource that is counted. The numbers are stable. */
enum unfreed_kind {
  UNFREED_FD = 0,     /**< file descriptors */
  UNFREED_HEAP = 1,   /**< heap blocks */
  UNFREED_THREAD = 2, /**< threads neither joined nor detached, running or finished */
  UNFREED_CHILD = 3,  /**< child processes not waited for, running or ended */
  UNFREED_TIMER = 4,  /**< POSIX timers */
  UNFREED_SHM = 5,    /**< System V shared memory: segments created, and attachments */
  UNFREED_LIBRARY = 6 /**< handles of dlopen */
};

/** A point in time, as returned by unfreed_mark(). 0 is "no mark". */
typedef uint64_t unfreed_mark_t;

/**
 * A call site, and what it holds, as unfreed_live_since_each() shows it. All texts are NUL-terminated UTF-8 without
 * control characters (but for the stack's line ends), and belong to the runtime: they are valid until the visitor
 * returns. A text that is not known is "".
 */
struct unfreed_site {
  size_t size; /**< of this structure, as the runtime knows it: later versions append members */
  enum unfreed_kind kind;
  uint32_t line;           /**< in `file`; 0 if not known */
  uint64_t count;          /**< how many it holds */
  uint64_t bytes;          /**< how many bytes these have, where they have a size; else 0 */
  const char* acquired_by; /**< the function that acquired them: "open", "operator new" */
  const char* target;      /**< what the newest of them refers to: "/etc/hosts" */
  const char* function;    /**< the innermost function of the program's own on the stack */
  const char* file;        /**< its source file, where that is known: the `unfreed` command is installed */
  const char* stack;       /**< a line for each frame, innermost first: "    function (file:line)\n" */
};

/** Called for each call site. @return 0 to go on, anything else to stop. It may call all functions below. */
typedef int (*unfreed_site_visitor)(void* context, const struct unfreed_site* site);

/* The runtime's own entry points: weak, so that they are null without it. Call the unfreed_… functions below instead.
 */
#define UNFREED_WEAK __attribute__((weak, visibility("default")))
UNFREED_WEAK int unfreed_runtime_report(const char* path);
UNFREED_WEAK unfreed_mark_t unfreed_runtime_mark(void);
UNFREED_WEAK int64_t unfreed_runtime_live_since(unfreed_mark_t mark, enum unfreed_kind kind);
UNFREED_WEAK int64_t unfreed_runtime_live_since_each(unfreed_mark_t mark, enum unfreed_kind kind,
                                                     unfreed_site_visitor visit, void* context);
UNFREED_WEAK int64_t unfreed_runtime_lost_since(unfreed_mark_t mark);
UNFREED_WEAK int64_t unfreed_runtime_lost_since_each(unfreed_mark_t mark, unfreed_site_visitor visit, void* context);
UNFREED_WEAK int unfreed_runtime_ignore_fd(int fd);
UNFREED_WEAK int unfreed_runtime_ignore_block(const void* block);
UNFREED_WEAK int unfreed_runtime_ignore_thread(pthread_t thread);
UNFREED_WEAK void unfreed_runtime_pause(void);
UNFREED_WEAK void unfreed_runtime_resume(void);

/** @brief Is the runtime loaded and tracking? @return 1 or 0. */
static inline int unfreed_is_active(void) { return unfreed_runtime_mark != NULL && unfreed_runtime_mark() != 0; }

/**
 * @brief Writes a report now, and waits until it is written.
 * @param path  the report's file, or NULL for the one that UNFREED_OUTPUT names. It is written as UNFREED_OUTPUT's
 *              would be (%p stands for the pid; only a report is replaced), under exactly this name.
 * @return 0 on success, a positive errno value on failure, -1 without the runtime.
 * Not async-signal-safe.
 */
static inline int unfreed_report(const char* path) {
  return unfreed_runtime_report ? unfreed_runtime_report(path) : -1;
}

/**
 * @brief Remembers this moment, for unfreed_live_since(). Costs a few instructions; nothing needs to be released.
 * @return the mark; 0 without the runtime.
 * Heap blocks can tell 4,095 marks apart; beyond that later marks share the last one's heap epoch, and
 * unfreed_live_since() answers -1 for the heap.
 */
static inline unfreed_mark_t unfreed_mark(void) { return unfreed_runtime_mark ? unfreed_runtime_mark() : 0; }

/**
 * @brief How many resources of a kind were acquired after `mark` and are still held. Resources acquired before the mark
 * do not matter, whether or not they have been released since.
 * @return the count; -1 without the runtime, for a bad mark, or for a kind that is not tracked.
 * Walks all live blocks for UNFREED_HEAP: meant for tests, not for a hot loop. Not async-signal-safe.
 */
static inline int64_t unfreed_live_since(unfreed_mark_t mark, enum unfreed_kind kind) {
  return unfreed_runtime_live_since ? unfreed_runtime_live_since(mark, kind) : -1;
}

/**
 * @brief Calls `visit` for each call site whose resources unfreed_live_since() counts, the worst first.
 * Left out is what reports leave out, too: what suppressions cover (of UNFREED_SUPPRESSIONS, and those for well-known
 * programs), and what libc holds for its own use. Of more than 256 stacks those that hold most are visited. What has no
 * known call site (too many of them) comes last, as one of which no text is known.
 * @param visit    called in the calling thread, which holds no lock then. It must return: neither throw nor jump out.
 * @param context  passed to `visit`.
 * @return how many resources the visited call sites hold, 0 if there are none; -1 without the runtime, for a bad mark,
 *         for a kind that is not tracked, or without memory.
 * Costs no more than unfreed_live_since() if nothing is held. Else it waits for a copy of the process, and for the
 * unfreed command, which finds source lines: some tens of milliseconds, more where debug information is large, at most
 * 40 seconds. If neither can be made (a sandbox), call sites have their count and `acquired_by` alone.
 * Thread-safe; not async-signal-safe.
 */
static inline int64_t unfreed_live_since_each(unfreed_mark_t mark, enum unfreed_kind kind, unfreed_site_visitor visit,
                                              void* context) {
  return unfreed_runtime_live_since_each ? unfreed_runtime_live_since_each(mark, kind, visit, context) : -1;
}

/**
 * @brief How many heap blocks that were allocated after `mark` are lost: no pointer leads to them any more.
 * @return the count; -1 without the runtime, for a bad mark, or if it cannot be found out.
 * Stops the other threads for some milliseconds and waits for the answer: meant for tests. Not async-signal-safe.
 */
static inline int64_t unfreed_lost_since(unfreed_mark_t mark) {
  return unfreed_runtime_lost_since ? unfreed_runtime_lost_since(mark) : -1;
}

/**
 * @brief Calls `visit` for each call site whose heap blocks unfreed_lost_since() counts; otherwise like
 * unfreed_live_since_each(). @return how many blocks the visited call sites have lost, or -1.
 */
static inline int64_t unfreed_lost_since_each(unfreed_mark_t mark, unfreed_site_visitor visit, void* context) {
  return unfreed_runtime_lost_since_each ? unfreed_runtime_lost_since_each(mark, visit, context) : -1;
}

/** @brief This descriptor is meant to stay open: it is not counted until it is closed. @return 0, or -1 if unknown.
 */
static inline int unfreed_ignore_fd(int fd) { return unfreed_runtime_ignore_fd ? unfreed_runtime_ignore_fd(fd) : -1; }

/** @brief This heap block is meant to stay: it is not counted until it is freed. @return 0, or -1 if unknown. */
static inline int unfreed_ignore_block(const void* block) {
  return unfreed_runtime_ignore_block ? unfreed_runtime_ignore_block(block) : -1;
}

/** @brief This thread is meant to stay unjoined: it is not counted. @return 0, or -1 if unknown. */
static inline int unfreed_ignore_thread(pthread_t thread) {
  return unfreed_runtime_ignore_thread ? unfreed_runtime_ignore_thread(thread) : -1;
}

/**
 * @brief Between pause and resume, what the calling thread acquires is not tracked. Releases still are. Nests. Other
 * threads are not affected.
 */
static inline void unfreed_pause(void) {
  if (unfreed_runtime_pause) unfreed_runtime_pause();
}
/** @brief Ends the innermost unfreed_pause() of this thread. */
static inline void unfreed_resume(void) {
  if (unfreed_runtime_resume) unfreed_runtime_resume();
}

#ifdef __cplusplus
} /* extern "C" */

namespace unfreed {
/** @brief Scoped unfreed_pause(). */
class Pause {
 public:
  Pause() { unfreed_pause(); }
  ~Pause() { unfreed_resume(); }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
};
}  // namespace unfreed
#endif

#endif /* UNFREED_UNFREED_H */
