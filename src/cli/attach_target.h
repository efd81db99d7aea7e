// The process that unfreed attach and detach are given.
#pragma once

#include <string>

namespace unfreed::cli {

/// Printable; of any process.
std::string name_of(int pid);

/// The process that `target`, a pid or a program's name, names. 0: `error` is a line.
int find_process(const std::string& target, std::string& error);

/// Why a process cannot be attached to, before anything is tried; "" if nothing is known against it. `is_observed`:
/// nothing traces it. `is_attached`: it may be tracked already.
std::string find_obstacle(int pid, bool is_observed, bool is_attached = false);

/// Why the kernel has refused to have it traced.
std::string explain_refusal(int pid, int error);

}  // namespace unfreed::cli
