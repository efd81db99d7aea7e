// Enters a ledger's stacks into a report's table on request: names each call once and enters each node once, however
// many stacks contain it.
// Internal to this folder. Allocates from the arena only; async-signal-safe if the resolver is.
#pragma once

#include "evaluate/evaluate.h"
#include "evaluate/frames.h"

namespace unfreed::report {

class StackTable {
 public:
  StackTable(const ledger::View& view, const FrameResolver& resolver, base::Arena& arena, Report& out);

  /// The stack whose innermost frame is `leaf`. `cut`: it is deeper than kMaxFrames.
  StackId stack(uint32_t leaf, bool& cut);
  /// The function that starts at an offset of a module; 0 if both are 0.
  CallId function_at(uint32_t module, uint64_t offset);
  /// Lists the modules that stacks lead into, and the executable.
  void list_modules();

 private:
  struct KnownModule {
    Text path;
    Text build_id;  ///< hexadecimal
    bool is_used = false;
    bool is_read = false;
  };

  CallId call(const ledger::Node& node);
  KnownModule& module(uint32_t index);
  bool grow_calls();

  const ledger::View& view_;
  const FrameResolver& resolver_;
  base::Arena& arena_;
  Report& out_;
  std::span<StackId> stacks_;       ///< by ledger node, + 1; 0: not entered yet
  std::span<KnownModule> modules_;  ///< by ledger index
  KnownModule unknown_;
  struct Slot {
    uint64_t offset;
    uint32_t module;
    CallId call;
  };
  std::span<Slot> calls_;  ///< hash table of calls, open addressing
};

}  // namespace unfreed::report
