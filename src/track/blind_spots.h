// Code in the process whose calls bypass the hooks. Sets the coverage of the kinds concerned.
// Async-signal-safe.
#pragma once

#include <string_view>

namespace unfreed::track {

/// Looks for Go programs and libraries among the loaded objects: their runtime makes system calls, threads and children
/// without libc. Called at the start, and after each dlopen.
void note_go_objects();

/// Before 2.34, glibc has threads, dlopen and timers in libraries of their own. Where one was loaded after the start,
/// what it does bypasses the hooks: they were hidden, as the process had no such function. Called at the start, and
/// after each dlopen.
void find_absent_parts_of_libc();
void note_late_parts_of_libc();

/// Is this process run by one of Valgrind's tools that replace every malloc by their own?
bool is_malloc_valgrinds();

/// Are libraries to be opened without RTLD_DEEPBIND? Set at the start.
void set_without_deepbind(bool without);
bool is_without_deepbind();

/// A library was opened so that it finds libc's functions before ours: with RTLD_DEEPBIND, or in a separate namespace.
void note_bypassing_library(std::string_view file, bool is_apart);
/// Has one been? Its memory may lie among the blocks that malloc was seen to return.
bool has_bypassing_library();

/// The calling thread has got a copy of the process's descriptors for itself (unshare): from now on the table is of
/// both. Keeps errno.
void note_unshared_descriptors();
/// The same, if a thread has got one before tracking began (or the kernel does not say). The others are stopped.
void note_separate_descriptors();

}  // namespace unfreed::track
