// The ledger's file: made when tracking starts, given a new name or removed when it ends. No descriptor is held.
#pragma once

#include <cstddef>
#include <span>

#include "ledger/writer.h"

namespace unfreed::runtime {

/// Where ledgers live, from the environment; copied, because programs overwrite theirs.
struct LedgerPlace {
  char directory[256];
  char session[64];
  bool has_launcher;  ///< was started by one, which may have ended since
};

/// Is there a launcher, which clears away what processes leave? Makes system calls.
bool launcher_takes_ledgers(const LedgerPlace& place);

/// Removes what earlier images of process `pid`, which have called exec, have left; for an image that is not tracked
/// itself.
void clear_replaced(const LedgerPlace& place, int pid);

/// Sizes a ledger can have, in eighths: the full one, and one for processes with little address space.
inline constexpr unsigned kScales[] = {8, 1};

/// Maps a new ledger of kScales[scale_index], or of the largest size that can be had (−1): a sparse file in `place`,
/// else private memory (with the reason in `why_private`, a static text; the header's kHeaderFlagPrivate is set).
/// `path` receives the file's name ("" for none). False: no memory at all. One thread at a time.
bool map_ledger(const LedgerPlace& place, int pid, int scale_index, ledger::Writer& out, std::span<char> path,
                const char*& why_private);

/// Index of the scale that a ledger has.
int scale_index_of(const ledger::Header& header);

}  // namespace unfreed::runtime
