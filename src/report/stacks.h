// Stacks of a report: each call and each chain of callers is in it once.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/arena.h"

namespace unfreed::report {

using Text = std::string_view;
template <class T>
using List = base::List<T>;

/// The name of a module that is not known.
inline constexpr Text kUnknownModule = "[unknown]";

/// A source-level frame of a call: the function, or one that was inlined into it.
struct Frame {
  Text function;
  Text file;
  uint32_t line = 0;  ///< 0 unknown
  bool inlined = false;
  Text linkage_name;  ///< as in the symbol table; known only until the report is written
};

/// A call in the code: an instruction of a module, and its frames, inlined ones first.
struct Call {
  Text module;    ///< path; "" unknown
  Text build_id;  ///< hexadecimal; "" where there is none
  uint64_t offset = 0;
  List<Frame> frames;  ///< empty where nothing is known
};
using CallId = uint32_t;  ///< index in Stacks::calls + 1; 0: none

/// A stack is a node: its innermost call, then its caller's node, and so on. Stacks share the nodes of common callers.
using StackId = uint32_t;  ///< index in Stacks::nodes + 1; 0: no frames
struct Node {
  CallId call = 0;
  StackId caller = 0;  ///< less than the node's own number
};

struct Stacks {
  List<Call> calls;
  List<Node> nodes;

  /// Calls `visit(call)` innermost first. Bounded by the table, whatever is in it.
  template <class Visit>
  void each_call(StackId stack, Visit visit) const {
    while (stack && stack <= nodes.size()) {
      const Node& node = nodes[stack - 1];
      if (node.call && node.call <= calls.size()) visit(calls[node.call - 1]);
      stack = node.caller < stack ? node.caller : 0;
    }
  }
};

}  // namespace unfreed::report
