// Processes of a run that get no report: what only a report would say need not be found out about them.
#pragma once

namespace unfreed::runtime {

/// Will the launcher make no report of this process, which ends? It makes none of processes other than CMD that hold
/// nothing, where there are no rules. Then the kernel's lists have been read. No other thread of the process may run,
/// and signals must be blocked.
bool will_be_unreported();

}  // namespace unfreed::runtime
