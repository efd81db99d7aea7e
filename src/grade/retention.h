// Enters who keeps blocks alive in the ledger.
#pragma once

#include "grade/heap_graph.h"
#include "grade/memory_map.h"
#include "ledger/writer.h"

namespace unfreed::grade {

/// Fills in SectionId::retention: the paths that most blocks and bytes are reached by. Without memory there are none
/// (Dropped::retention_failed). `map`: the process's mappings. Async-signal-safe.
void write_retention(HeapGraph& graph, const MemoryMap& map, ledger::Writer& out);

}  // namespace unfreed::grade
