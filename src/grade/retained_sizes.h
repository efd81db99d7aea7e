// How much would be lost if a root or a block let go: the blocks that every path from any root leads to through it
// (Dominators). Enters it in the nodes of the graph's retention tree. Of a node of several blocks it is what each of
// them retains by itself, so at least what all of them together do.
//
// Async-signal-safe.
#pragma once

#include "grade/heap_graph.h"
#include "ledger/layout.h"

namespace unfreed::grade {

/// After HeapGraph::settle(), of a graph that has kept its pointers. Too large is also what is not done by `end_ns`
/// (CLOCK_MONOTONIC), or shortly after.
ledger::RetainedSizes compute_retained_sizes(HeapGraph& graph, uint64_t end_ns = UINT64_MAX);

}  // namespace unfreed::grade
