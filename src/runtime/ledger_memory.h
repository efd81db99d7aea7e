// The ledger's memory: mapped at the start, and in a fork child put in the place of the parent's.
//
// Where it can be had it is a file in shared memory, all of it mapped at once: one mapping, of which only the pages in
// use exist. Where address space is limited, or there is no file, only as much is mapped as has been filled.
#pragma once

#include <span>

#include "ledger/writer.h"
#include "runtime/ledger_place.h"

namespace unfreed::runtime {

/// Maps a new ledger with an empty header: a file in `place`, else private memory (with the reason in `why_private`, a
/// static text; the header's kHeaderFlagPrivate is set). `path` receives the file's name ("" for none), `identity` which
/// file that is. False: no memory at all. One thread at a time.
bool map_ledger(const LedgerPlace& place, int pid, ledger::Writer& out, std::span<char> path, FileIdentity& identity,
                const char*& why_private);

/// In a fork child: puts a ledger with the header `fresh` where its parent's (`ledger`) is mapped, so that all that
/// refers into it stays valid. It has the parent's strings, modules, nodes, sites and descriptors, as they are; other
/// tables are empty. Their sizes are the parent's. Nothing of the parent's memory is touched that it may not have
/// backed, nothing is written to it, and no new mapping is made. False: there is no memory, and the parent's header is
/// still there.
bool replace_ledger(const LedgerPlace& place, int pid, ledger::Header& fresh, ledger::Writer& ledger,
                    std::span<char> path, FileIdentity& identity, const char*& why_private);

}  // namespace unfreed::runtime
