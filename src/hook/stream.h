// Shared by the hooks of stdio and directory streams: a stream owns its descriptor, so the two are one resource. Blocks
// that libc allocates for the stream belong to it, and are distinguished from the program's own by their stack.
#pragma once

#include "base/keep_errno.h"
#include "hook/handover.h"
#include "hook/process.h"
#include "hook/real.h"
#include "track/children.h"
#include "track/closed_streams.h"
#include "track/exec_leaks.h"
#include "track/fd.h"
#include "unwind/owning_call.h"

namespace unfreed::hook {

/// The headers declare that no stream is null, and the compiler drops tests for it (even with
/// -fno-delete-null-pointer-checks). But closedir(NULL) has a result, which libc must give: hides the argument from
/// the compiler.
template <class Stream>
Stream* as_given(Stream* stream) {
  asm("" : "+r"(stream));
  return stream;
}

/// The descriptor of a stream, −1 for none (null, fmemopen …); keeps errno.
inline int descriptor_of(FILE* given) {
  FILE* stream = as_given(given);
  base::KeepErrno keep;
  return stream ? fileno(stream) : -1;
}
inline int descriptor_of(DIR* given) {
  DIR* stream = as_given(given);
  base::KeepErrno keep;
  return stream ? dirfd(stream) : -1;
}

/// `stream` is new and the caller's; null is a failure, noted when a limit was reached (by errno). Returns `stream`.
/// `path`: what it was opened by, where it was a name.
template <class Stream>
Stream* opened(Stream* stream, ledger::FdOwner owner, Hook hook, const unwind::Registers& from,
               const char* path = nullptr) {
  track::FdDetails details{{owner, stream}, path};
  track::fd_acquired(descriptor_of(stream), hook_number(hook), from, details);
  if (stream) track::stream_opened(stream);
  return stream;
}

/// `stream` is new, and stands for a descriptor that is known already.
template <class Stream>
Stream* adopted(int fd, ledger::FdOwner owner, Stream* stream) {
  if (!stream) return stream;
  track::fd_adopted(fd, {owner, stream});
  track::stream_opened(stream);
  return stream;
}

/// Has the stream been closed already? Streams in memory (open_memstream …) are made without a hook; one may have the
/// address now, which its flags say: _IO_MAGIC, and not _IO_IS_FILEBUF (libio.h, the same since glibc 2.0). What is
/// left of a closed one looks otherwise, freed or not.
inline bool is_closed(FILE* stream) {
  if (!track::is_closed_stream(stream)) [[likely]]
    return false;
#ifdef __GLIBC__
  constexpr unsigned kMagic = 0xfbad0000, kMagicMask = 0xffff0000, kIsFile = 0x2000;
  auto flags = static_cast<unsigned>(stream->_flags);
  return (flags & kMagicMask) != kMagic || (flags & kIsFile);
#else
  // musl's streams do not say what they are.
  return false;
#endif
}
inline bool is_closed(DIR* stream) { return track::is_closed_stream(stream); }

/// Wraps a call that ends `fd`, which belongs to `stream`: whatever the result says (a failed flush, a child's status),
/// the descriptor is gone.
template <class Call>
int closing_fd(int fd, const void* stream, Hook hook, const unwind::Registers& from, Call call) {
  track::FdRelease release = track::fd_release_begins(fd, {hook_number(hook), from, stream});
  int result = call();
  track::fd_release_ends(fd, release, true);
  return result;
}
/// The stream is closed, too. If it was closed before, its descriptor is not read: the memory may have been reused.
template <class Stream, class Call>
int closing(Stream* stream, Hook hook, const unwind::Registers& from, Call call) {
  if (is_closed(stream)) [[unlikely]] {
    track::note_closed_stream(stream, hook_number(hook), from);
    return call();
  }
  int fd = descriptor_of(stream);
  track::FdRelease release = track::fd_release_begins(fd, {hook_number(hook), from, stream});
  track::stream_closed(stream, fd, release);
  int result = call();
  if (result != 0) track::fd_stream_close_failed(fd, release);
  track::fd_release_ends(fd, release, true);
  return result;
}

/// The child behind a stream of popen's; 0 if unknown. glibc keeps it behind the stream's table of
/// functions (struct _IO_proc_file in libio/iopopen.c, since 2.0), musl in it (struct _IO_FILE in
/// src/internal/stdio_impl.h, since 0.7); it is used only if the kernel confirms that there is such a child. Keeps
/// errno.
pid_t child_of(FILE* stream);

/// Wraps popen: one call makes the stream, its descriptor and the child.
template <class Call>
FILE* process_opened(const char* command, Hook hook, const unwind::Registers& from, Call call) {
  track::ChildFds child;
  child.closes_popen_streams = true;
  track::ExecLeaks exec_leaks;
  track::note_exec_leaks(hook_number(hook), command, exec_leaks, child);
  Handover shell({kShell}, environ);
  track::ChildStart start = track::child_starting();
  FILE* stream = opened(unwind::owning(call), ledger::FdOwner::popen_stream, hook, from);
  if (stream) shell.note_started(0);
  // The failure has been recorded for the stream.
  track::child_started(start, stream ? child_of(stream) : 0, hook_number(hook), from);
  if (!stream) track::take_exec_leaks_back(exec_leaks);
  return stream;
}
/// The child behind a stream that is about to be closed; 0 for none.
inline pid_t child_behind(FILE* stream) {
  bool is_process =
      !is_closed(stream) && track::fd_is_owned_by(descriptor_of(stream), {ledger::FdOwner::popen_stream, stream});
  return is_process ? child_of(stream) : 0;
}
/// Wraps what closes a stream that may be popen's: the child is waited for.
template <class Call>
int process_closing(FILE* stream, Hook hook, const unwind::Registers& from, Call call) {
  pid_t child = child_behind(stream);
  int result = closing(stream, hook, from, call);
  if (result >= 0)
    child_collected(child, result);
  else
    track::child_reaped(child);
  return result;
}

}  // namespace unfreed::hook
