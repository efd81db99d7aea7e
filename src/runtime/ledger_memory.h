// The ledger's memory: mapped at the start, and replaced in a fork child, where the parent's was.
//
// If possible it is a file in shared memory, mapped as a whole: one mapping, of which only the pages in
// use exist. If address space is limited, or there is no file, only what is in use is mapped.
#pragma once

#include <span>

#include "ledger/writer.h"
#include "runtime/ledger_place.h"

namespace unfreed::runtime {

/// Maps a new ledger with an empty header: a file in `place`, else private memory (`why_private` is then the reason, a
/// static text; the header's kHeaderFlagPrivate is set). `path` receives the file's name ("" for none), `identity` the
/// file's identity. False: no memory at all. One thread at a time.
bool map_ledger(const LedgerPlace& place, int pid, ledger::Writer& out, std::span<char> path, FileIdentity& identity,
                const char*& why_private);

/// Unmaps the ledger and removes its file: nothing will be tracked.
void unmap_ledger(ledger::Writer& ledger, std::span<char> path);

/// In a fork child: puts a ledger with the header `fresh` where its parent's (`ledger`) is mapped, so pointers into
/// it stay valid. It has the parent's strings, modules, nodes, sites and descriptors, as they are; other tables are
/// empty. Table sizes are the parent's. It touches no memory of the parent that may lack storage, writes to none of it,
/// and makes no new mapping. False: there is no memory, and the parent's header is
/// still there.
bool replace_ledger(const LedgerPlace& place, int pid, ledger::Header& fresh, ledger::Writer& ledger,
                    std::span<char> path, FileIdentity& identity, const char*& why_private);

}  // namespace unfreed::runtime
