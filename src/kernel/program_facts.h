// Reads the facts about a program that a report needs from its file. Allocation-free, async-signal-safe.
#pragma once

#include <string_view>

#include "ledger/writer.h"

namespace unfreed::report {

/// An allocator that is linked into the program at `path` under names of its own (Rust's with jemalloc): its blocks do
/// not come from malloc. "" for none, and if the file cannot be read or has been replaced (`build_id`: raw,
/// "" for unknown). Reads all of its constant data.
std::string_view find_inner_allocator(const char* path, std::string_view build_id);

/// The same for a ledger's program.
std::string_view find_inner_allocator(const ledger::Writer& writer);

/// Sets the heap's coverage in this ledger accordingly, if it was exact.
void cover_inner_allocator(const ledger::Writer& writer, std::string_view allocator);

}  // namespace unfreed::report
