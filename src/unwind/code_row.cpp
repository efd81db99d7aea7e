#include "unwind/code_row.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "arch/frames.h"
#include "arch/instruction.h"
#include "unwind/call_target.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/loader_list.h"
#include "unwind/moved_function.h"

namespace unfreed::unwind {

namespace {

using arch::Instruction;
using Effect = Instruction::Effect;

constexpr SymbolName kNoReturn[] = {
    "exit", "_exit", "_Exit", "quick_exit", "abort",         "pthread_exit",     "longjmp",   "siglongjmp",
    "err",  "errx",  "verr",  "verrx",      "__assert_fail", "__stack_chk_fail", "thrd_exit", "__cxa_throw"};
/// Of libc, and what the program calls by that name, which may be a hook.
struct CodeRange {
  uintptr_t low;
  uintptr_t high;
};
constinit CodeRange g_no_return[2 * std::size(kNoReturn)];
constinit size_t g_no_return_count = 0;

void add_no_return(const Definition& found) {
  if (!found || found.is_indirect()) return;
  uintptr_t low = found.address();
  g_no_return[g_no_return_count++] = {low, low + found.symbol->st_size};
}
bool never_returns(uintptr_t function) {
  std::span<const CodeRange> all(g_no_return, g_no_return_count);
  return std::any_of(all.begin(), all.end(), [&](const CodeRange& one) { return one.low == function; });
}
bool is_in_no_return(uintptr_t pc) {
  std::span<const CodeRange> all(g_no_return, g_no_return_count);
  return std::any_of(all.begin(), all.end(), [&](const CodeRange& one) { return pc > one.low && pc <= one.high; });
}
bool is_in_libc(const Object& object) {
  auto loader = reinterpret_cast<uintptr_t>(&loader_list());
  return object.image.low <= loader && loader < object.image.high;
}

/// What has been given back of the frame so far.
struct State {
  uintptr_t pc = 0;
  int32_t offset = 0;       ///< sp's distance from where sp, or bp, was at first
  int32_t bp_slot = 0;      ///< where bp has been popped from, in the same way
  bool is_from_bp = false;  ///< distances count from bp
  int32_t bp_offset = 0;    ///< where bp has been made to point, from where sp was at first
  bool knows_bp_offset = false;
  bool knows_sp = true;
  bool has_popped_bp = false;
};

class Search {
 public:
  Search(const Object& object, const CallerCheck& check) : object_(object), check_(check) {}

  Row run(uintptr_t pc) {
    State state;
    state.pc = pc;
    Row row;
    while (!follow(state, row)) {
      if (!branches_count_) return without_return(pc);
      state = branches_[--branches_count_];
    }
    return row;
  }

 private:
  static constexpr size_t kMostBranches = 96, kMostTargets = 192;
  static constexpr int kMostInstructions = 8192;

  /// A function that never returns has a caller nevertheless, but for that which begins a thread or the program.
  Row without_return(uintptr_t pc) const {
    Row row;
    bool begins = has_stopped_ && !is_in_doubt_ && is_in_libc(object_) && !is_in_no_return(pc);
    if (begins)
      row.cfa = CfaRule::end;
    else
      row.cfa_offset = Row::kReadInVain;
    return row;
  }

  /// Until a return that is accepted (true), or until this way ends.
  bool follow(State& state, Row& row) {
    for (;;) {
      Instruction instruction = --budget_ > 0 ? instruction_at(state.pc) : Instruction();
      if (!instruction.bytes) return doubt();
      state.pc += instruction.bytes;
      switch (instruction.effect) {
        case Effect::none:
          if (instruction.calls && never_returns(call_target(state.pc))) return stop();
          break;
        case Effect::moves_sp:
          state.offset += static_cast<int32_t>(instruction.value);
          break;
        case Effect::pops_bp:
          if (!state.knows_sp) return doubt();
          pop_bp(state);
          break;
        case Effect::bp_is_sp:
          state.bp_offset = state.offset;
          state.knows_bp_offset = state.knows_sp && !state.is_from_bp;
          break;
        case Effect::leaves:
        case Effect::sp_is_bp:
          if (state.has_popped_bp) return doubt();
          state.is_from_bp = !state.knows_bp_offset;
          state.knows_sp = true;
          state.offset = state.bp_offset + static_cast<int32_t>(instruction.value);
          if (instruction.effect == Effect::leaves) pop_bp(state);
          break;
        case Effect::loses_sp:
          state.knows_sp = false;
          break;
        case Effect::returns:
          if (state.knows_sp && accepts(state, row)) return true;
          return doubt();
        case Effect::stops:
          return stop();
        case Effect::jumps:
          state.pc += static_cast<uintptr_t>(instruction.target);
          if (!visit(state.pc)) return false;
          break;
        case Effect::branches:
          branch(state, state.pc + static_cast<uintptr_t>(instruction.target));
          break;
        case Effect::not_known:
          return doubt();
      }
    }
  }

  /// What has been pushed on the way is what it was at first.
  static void pop_bp(State& state) {
    bool is_from_frame = state.is_from_bp || state.offset >= 0;
    if (is_from_frame) state.bp_slot = state.offset;
    state.has_popped_bp = is_from_frame;
    state.offset += 8;
  }

  bool accepts(const State& state, Row& row) {
    row = {};
    row.cfa = state.is_from_bp ? CfaRule::bp : CfaRule::sp;
    row.cfa_offset = state.offset + 8;
    if (state.has_popped_bp) {
      row.bp = BpRule::at_cfa;
      row.bp_offset = state.bp_slot - row.cfa_offset;
    }
    bool is_plausible = (state.is_from_bp || row.cfa_offset > 0) && row.cfa_offset % 8 == 0 && row.bp_offset % 8 == 0;
    return is_plausible && row.fits() && check_.accepts(check_.context, row);
  }

  bool doubt() {
    is_in_doubt_ = true;
    return false;
  }
  bool stop() {
    has_stopped_ = true;
    return false;
  }

  void branch(const State& from, uintptr_t target) {
    if (!visit(target)) return;
    if (branches_count_ == kMostBranches) {
      is_in_doubt_ = true;
      return;
    }
    State& other = branches_[branches_count_++] = from;
    other.pc = target;
  }

  /// False: it has been followed from there already, or will be.
  bool visit(uintptr_t target) {
    std::span<uintptr_t> known(targets_, targets_count_);
    if (std::find(known.begin(), known.end(), target) != known.end()) return false;
    if (targets_count_ == kMostTargets) {
      is_in_doubt_ = true;
      return false;
    }
    targets_[targets_count_++] = target;
    return true;
  }

  Instruction instruction_at(uintptr_t pc) const {
    size_t bytes = arch::kLongestInstruction;
    while (bytes && !is_readable(object_, pc, bytes)) --bytes;
    return arch::decode({reinterpret_cast<const uint8_t*>(pc), bytes});
  }

  const Object& object_;
  const CallerCheck& check_;
  State branches_[kMostBranches];
  size_t branches_count_ = 0;
  uintptr_t targets_[kMostTargets];
  size_t targets_count_ = 0;
  int budget_ = kMostInstructions;
  bool has_stopped_ = false;
  bool is_in_doubt_ = false;
};

}  // namespace

void prepare_code_reading() {
  g_no_return_count = 0;
  for (const SymbolName& name : kNoReturn) {
    add_no_return(find_in_libc(name));
    add_no_return(find_default(name, loader_list().r_map));
  }
}

Row find_row_by_code(const Object& object, uintptr_t pc, const CallerCheck& check) {
  return Search(object, check).run(pc);
}

bool is_return_address(uintptr_t pc) {
  Object object;
  uintptr_t target;
  constexpr uintptr_t kCall = arch::kLongestCall;
  const auto* code = reinterpret_cast<const uint8_t*>(pc);
  if (!find_object(pc - 1, object)) return false;
  if (is_readable(object, pc - kCall, kCall) && arch::is_behind_call(pc, code, target)) return true;
  constexpr size_t kSignal = arch::kSignalReturnBytes;
  return kSignal && is_readable(object, pc, kSignal) && arch::is_signal_return(code);
}

}  // namespace unfreed::unwind
