// Code in the process whose calls do not come through the hooks: coverage then says so, kind by kind.
// Async-signal-safe.
#pragma once

#include <string_view>

namespace unfreed::track {

/// Looks for Go programs and libraries among the loaded objects: their runtime makes system calls, threads and children
/// by itself. At the start, and after each dlopen.
void note_go_objects();

/// Is this process run by one of Valgrind's tools that put their own malloc in the place of every other?
bool is_malloc_valgrinds();

/// A library was opened so that it finds libc's functions before ours: RTLD_DEEPBIND, or a namespace of its own.
void note_bypassing_library(std::string_view file, std::string_view how);

}  // namespace unfreed::track
