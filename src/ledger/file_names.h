// Where ledgers lie, and what they are called. The ledger directory (UNFREED_LEDGER_DIR, /dev/shm) is often shared with
// other users, so every ledger lies in a folder that one user alone can write to:
//
//     unfreed-UID/                            of processes without a launcher
//         PID-NAMESPACE-IMAGE
//     unfreed-UID-RANDOM/                     of one `unfreed run`
//         launcher                            locked (flock) by the launcher while it takes ledgers
//         untracked                           the run's ledger::UntrackedBoard
//         PID-NAMESPACE-IMAGE                 of a process that runs, or was killed
//         PID-NAMESPACE-IMAGE.done            of a process that has ended, and left it to the launcher
//         others-RANDOM/                      as root only: of processes that have become another user's
//             PID-NAMESPACE-IMAGE
//
// NAMESPACE is the number of the pid namespace that PID belongs to, so that containers which share a directory do not
// meet. Freestanding; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/text.h"

namespace unfreed::ledger {

inline constexpr std::string_view kLauncherFile = "launcher";
inline constexpr std::string_view kBoardFile = "untracked";
inline constexpr std::string_view kDoneSuffix = ".done";
inline constexpr std::string_view kOthersPrefix = "others-";

struct FileName {
  int pid = 0;
  uint64_t pid_namespace = 0;  ///< 0: not known (no /proc)
  uint32_t image = 0;          ///< 0, 1, 2 … where a number of a process comes round again
  bool done = false;
};
/// False for the name of anything else.
bool parse_file_name(std::string_view text, FileName& out);
void add_file_name(base::TextBuilder& out, const FileName& name);

/// "unfreed-UID", and with `random` "unfreed-UID-RANDOM".
void add_folder_name(base::TextBuilder& out, unsigned user, uint64_t random = 0);
/// Of a folder of that user, either kind.
bool is_folder_name(std::string_view text, unsigned user);

}  // namespace unfreed::ledger
