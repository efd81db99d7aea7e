// The records of handles: allocated, filled in, freed. Internal to this folder: handles.h and mappings.h are the
// verbs.
#pragma once

#include <cstdint>

#include "base/lock.h"
#include "ledger/layout.h"
#include "track/handles.h"

namespace unfreed::track {

/// Guards everything here, the verbs' data beside it, and the records themselves, except `word`.
extern constinit base::Lock g_handle_lock;

ledger::HandleRecord& handle_record(uint32_t index);

/// Index + 1 of a free record; 0 if there is none, which is counted.
uint32_t take_handle_record();
void give_handle_record_back(uint32_t record);

/// Fills in an allocated record, and makes it visible to readers.
void fill_handle_record(uint32_t record, const Handle& handle, uint32_t site, bool ignored);

}  // namespace unfreed::track
