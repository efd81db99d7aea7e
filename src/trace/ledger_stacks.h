// Stacks of a traced program, and its goroutines, as its ledger has them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ledger/composer.h"
#include "trace/code_space.h"

namespace unfreed::trace {

/// Both outlive it.
class LedgerStacks {
 public:
  LedgerStacks(CodeSpace& code, ledger::Composer& composer) : code_(code), composer_(composer) {}

  CodeSpace& code() { return code_; }
  ledger::Composer& composer() { return composer_; }
  /// The innermost node of a stack.
  uint32_t node(std::span<const CodeFrame> frames, bool& truncated);

 private:
  uint32_t module(uint32_t number);

  CodeSpace& code_;
  ledger::Composer& composer_;
  std::vector<uint32_t> numbers_;  ///< in the ledger, by index in the code space
};

/// Enters the goroutines of a Go program as they are now, or why they are not known. `tid`: a live thread of it. Those
/// that run on are read while they do: what changes meanwhile may be missing.
void take_goroutines(LedgerStacks& stacks, const ledger::Writer& writer, int tid, size_t most_frames);

}  // namespace unfreed::trace
