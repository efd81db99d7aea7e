// What a report must know of the process's program, from its file. Allocation-free, async-signal-safe.
#pragma once

#include <string_view>

#include "ledger/writer.h"

namespace unfreed::report {

/// An allocator that is linked into the program at `path` under names of its own (Rust's with jemalloc): what it gives
/// does not pass through malloc. "" for none, and where the file cannot be read or is another by now (`build_id`: raw,
/// "" for unknown). Reads all of its constant data.
std::string_view find_inner_allocator(const char* path, std::string_view build_id);

/// The same for the program of a ledger.
std::string_view find_inner_allocator(const ledger::Writer& writer);

/// Makes the heap's coverage in this ledger say so, if the heap was taken for exact.
void cover_inner_allocator(const ledger::Writer& writer, std::string_view allocator);

}  // namespace unfreed::report
