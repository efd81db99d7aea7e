// Determines the run that this process belongs to: the process that was started with the library, and all its
// descendants with the same name for their reports. Read from /proc once, at the start, as parents may be gone later.
#pragma once

#include <cstdint>

#include "base/process_stat.h"
#include "base/text.h"
#include "settings/settings.h"

namespace unfreed::runtime {

/// `pid` 0: this process, whichever numbering /proc uses.
base::ProcessStat read_stat(int pid);

struct Run {
  bool is_first = true;      ///< no process before this one in the run makes reports
  base::FixedText<40> name;  ///< "4032-88123": pid and start of the process that the run began with
};

/// Only a process's initial environment is visible from outside: a shell that exports LD_PRELOAD is not in the run;
/// each program that it starts begins one. `library`: the file name of this library.
void find_run(const report::Settings& settings, std::string_view library, Run& out);

/// Was the parent started with the library, too?
bool is_parent_preloaded(std::string_view library);

}  // namespace unfreed::runtime
