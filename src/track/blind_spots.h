// Code in the process whose calls bypass the hooks. Sets the coverage of the kinds concerned.
// Async-signal-safe.
#pragma once

#include <string_view>

namespace unfreed::track {

/// Looks for Go programs and libraries among the loaded objects: their runtime makes system calls, threads and children
/// without libc. Called at the start, and after each dlopen.
void note_go_objects();

/// Is this process run by one of Valgrind's tools that replace every malloc by their own?
bool is_malloc_valgrinds();

/// A library was opened so that it finds libc's functions before ours: with RTLD_DEEPBIND, or in a separate namespace.
void note_bypassing_library(std::string_view file, std::string_view how);

}  // namespace unfreed::track
