// Where ledgers are kept, and how they are named. The ledger directory (UNFREED_LEDGER_DIR, /dev/shm) is often shared
// with other users, so every ledger is in a folder that only one user can write to:
//
//     unfreed-UID/                            of processes without a launcher
//         PID-NAMESPACE-IMAGE
//     unfreed-UID-RANDOM/                     of one `unfreed run`
//         launcher                            locked (flock) by the launcher while it accepts ledgers
//         untracked                           the run's ledger::UntrackedBoard
//         PID-NAMESPACE-IMAGE                 of a process that is running, or was killed
//         PID-NAMESPACE-IMAGE.done            of a process that has ended, and left its report to the launcher
//         PID-NAMESPACE-IMAGE.library         of a process that is traced: what the runtime in it records
//         others-RANDOM/                      as root only: of processes that have become another user's
//             PID-NAMESPACE-IMAGE
//
// NAMESPACE is the number of the pid namespace that PID belongs to, so that containers that share a directory do not
// interfere. Freestanding; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/text.h"

namespace unfreed::ledger {

inline constexpr std::string_view kLauncherFile = "launcher";
inline constexpr std::string_view kBoardFile = "untracked";
inline constexpr std::string_view kDoneSuffix = ".done";
inline constexpr std::string_view kLibrarySuffix = ".library";
inline constexpr std::string_view kOthersPrefix = "others-";

struct FileName {
  int pid = 0;
  uint64_t pid_namespace = 0;  ///< 0: not known (no /proc)
  uint32_t image = 0;          ///< 0, 1, 2 … if a pid is reused
  bool done = false;
  bool is_library = false;  ///< it has no report of its own: it completes that of a tracer's ledger
};
/// False if the name is not a ledger's.
bool parse_file_name(std::string_view text, FileName& out);
void add_file_name(base::TextBuilder& out, const FileName& name);

/// "unfreed-UID", and with `random` "unfreed-UID-RANDOM".
void add_folder_name(base::TextBuilder& out, unsigned user, uint64_t random = 0);
/// Is it a folder of that user, of either kind?
bool is_folder_name(std::string_view text, unsigned user);

}  // namespace unfreed::ledger
