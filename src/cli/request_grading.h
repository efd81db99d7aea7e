// Asks a running process to find out what it can still get at (`snapshot --grade`).
#pragma once

#include <string>

namespace unfreed::cli {

/// Waits for the answer, which is then in the ledger: `file` is that, open for reading. False: there is none, and
/// `error` says why.
bool request_grading(int pid, int file, std::string& error);

}  // namespace unfreed::cli
