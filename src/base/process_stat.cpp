#include "base/process_stat.h"

#include <cerrno>

#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::base {

ProcessStat read_process_stat(const char* path) {
  ProcessStat stat;
  char buffer[512];  // up to the last field that is read there are 350 at most
  long size = read_file(path, buffer, sizeof buffer);
  stat.is_gone = size == -ENOENT || size == -ESRCH;
  std::string_view text(buffer, size > 0 ? static_cast<size_t>(size) : 0);
  size_t open = text.find('('), close = text.rfind(')');  // the name may hold anything
  if (open == text.npos || close == text.npos || close < open || close + 4 > text.size()) return stat;
  TextBuilder(stat.name).add(slice(text, open + 1, close - open - 1));
  stat.state = text[close + 2];
  std::string_view rest = slice(text, close + 4);
  constexpr int kFirst = 4, kParent = 4, kThreads = 20, kStart = 22, kExitSignal = 38;
  bool more = true;
  for (int field = kFirst; more && field <= kExitSignal; ++field) {
    uint64_t value = 0;
    if (!parse_number(next_part(rest, ' ', more), value)) continue;  // some are negative
    if (field == kParent) stat.parent = static_cast<int>(value);
    if (field == kThreads) stat.threads = value;
    if (field == kStart) stat.start_ticks = value;
    if (field == kExitSignal) stat.exit_signal = value;
    stat.is_known |= field == kParent;
  }
  return stat;
}

}  // namespace unfreed::base
