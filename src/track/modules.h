// The module table: loaded objects as they are met on stacks, recorded in the ledger with path and build ID. No loader
// lock is taken; a library that is loaded anew, or another at the same address, gets a new number.
#pragma once

#include <atomic>
#include <cstdint>

#include "unwind/objects.h"

namespace unfreed::track {

/// The number of a loaded object in the ledger's module table, recording it if it is new; 0 when the table is full.
/// Thread-safe, async-signal-safe. (An unwind::ModuleNumber.)
uint32_t module_number(const unwind::Object& object);

/// Grows with every object that is met for the first time: what was taken for code without an object may be one's now.
extern std::atomic<uint32_t> g_module_count;

/// Code was unloaded: known address ranges must be looked at again.
void forget_modules();

/// Is this the number of libc, the loader or a language runtime?
bool is_system_module(uint32_t number);
/// Is it libc.so or the loader itself?
bool is_libc_module(uint32_t number);
/// Is it the loader?
bool is_loader_module(uint32_t number);
/// Is it an allocator library that is known by its name?
bool is_allocator_module(uint32_t number);
/// Is it libstdc++ (the one that was met last)?
bool is_cxx_module(uint32_t number);

void reset_modules_after_fork();

}  // namespace unfreed::track
