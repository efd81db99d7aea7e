// Processes of a run that get no report: what only a report would say need not be found out about them.
#pragma once

namespace unfreed::runtime {

/// Will the launcher make no report of this process, which ends? It makes none of processes other than CMD that hold
/// nothing, where there are no rules. `has_lists`: whether the kernel's lists were read for that. No other thread of
/// the process may run, and signals must be blocked.
bool will_be_unreported(bool& has_lists);

}  // namespace unfreed::runtime
