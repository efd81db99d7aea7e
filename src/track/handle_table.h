// The records of handles: taken, filled in, given back. Internal to this folder: handles.h and mappings.h are the
// verbs.
#pragma once

#include <cstdint>

#include "base/lock.h"
#include "ledger/layout.h"
#include "track/handles.h"

namespace unfreed::track {

/// Guards everything here, what the verbs keep beside it, and the records themselves but for `word`.
extern constinit base::Lock g_handle_lock;

ledger::HandleRecord& handle_record(uint32_t index);

/// Index + 1 of a record that is not in use; 0 when there is none, which is counted.
uint32_t take_handle_record();
void give_handle_record_back(uint32_t record);

/// Fills in a record that was taken; with it, readers see it.
void fill_handle_record(uint32_t record, const Handle& handle, uint32_t site, bool ignored);

}  // namespace unfreed::track
