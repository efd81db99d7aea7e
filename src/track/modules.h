// The module table: loaded objects, recorded in the ledger with path and build ID when a stack first leads into them.
// Takes no loader lock; a library that is loaded again, or another at the same address, gets a new number.
#pragma once

#include <atomic>
#include <cstdint>

#include "unwind/objects.h"

namespace unfreed::track {

/// Allocates the table. False: no memory.
bool prepare_modules();

/// The number of a loaded object in the ledger's module table, recording it if it is new; 0 if the table is full.
/// Thread-safe, async-signal-safe. (An unwind::ModuleNumber.)
uint32_t module_number(const unwind::Object& object);

/// Grows with every new object: an address that belonged to no object before may belong to one now.
extern std::atomic<uint32_t> g_module_count;

/// Code was unloaded: cached address ranges must be looked up again.
void forget_modules();

/// Is this the number of libc, the loader or a language runtime?
bool is_system_module(uint32_t number);
/// Is it libc.so or the loader itself?
bool is_libc_module(uint32_t number);
/// Is it the loader?
bool is_loader_module(uint32_t number);
/// Is it an allocator library with a known name?
bool is_allocator_module(uint32_t number);
/// Is it libstdc++ (the one recorded last)?
bool is_cxx_module(uint32_t number);

void reset_modules_after_fork();

}  // namespace unfreed::track
