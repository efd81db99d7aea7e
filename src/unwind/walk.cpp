// The walker: decoded CFI rows, cached by pc in one process-wide lock-free table.
#include <errno.h>
#include <sys/uio.h>

#include <atomic>
#include <cstring>

#include "arch/address.h"
#include "arch/frames.h"
#include "base/syscall.h"
#include "unwind/code_row.h"
#include "unwind/eh_frame.h"
#include "unwind/owning_call.h"
#include "unwind/row_cache.h"
#include "unwind/walk.h"

namespace unfreed::unwind {

constinit std::atomic<uint32_t> g_code_generation{1};

namespace {

constinit RowCache g_cache;
ModuleNumber g_module_number;

constexpr unsigned kGenerationBit = 48;
static_assert(arch::kAddressBits <= kGenerationBit);

/// The generation above a pc's bits makes rows of unloaded code unreachable.
uint64_t cache_key(uintptr_t pc) {
  return pc ^ uint64_t { code_generation() } << kGenerationBit;
}

// What the next row will likely need again.
thread_local constinit char t_self = 0;   ///< its address stands for the thread
std::atomic<const char*> g_recent_taken;  ///< by one that uses it; others, and signal handlers, do without
uint32_t g_recent_generation;             ///< of the code that it is true of
constinit Object g_recent_object;
constinit RecentRuns g_recent_runs;

/// A call never returns to the first byte of a function: where a stack begins so, somebody has laid the address there
/// (makecontext: __start_context). `pc` is the byte before it.
bool is_made_up_return(uintptr_t pc, const Object& object) {
  if (!object.eh_frame_hdr) return false;
  uintptr_t place = pc + 1 + static_cast<uintptr_t>(object.shift);
  return find_function(object.image, object.eh_frame_hdr, place) == place;
}

/// Is `pc` the byte before the instructions to which signal handlers return?
bool is_before_signal_return(uintptr_t pc) {
  if constexpr (arch::kSignalReturnBytes == 0) return false;
  const auto* code = reinterpret_cast<const uint8_t*>(pc + 1);
  return base::can_read(code) && base::can_read(code + arch::kSignalReturnBytes - 1) && arch::is_signal_return(code);
}

Row compute_row(uintptr_t pc, Object& object, RecentRuns* runs) {
  Row row;
  if (!find_object(pc, object)) {
    // The kernel's functions for programs (the vDSO) may be such code, and so is what an emulator has instead.
    if (is_before_signal_return(pc)) row.cfa = CfaRule::signal;
    return row;
  }
  if (object.eh_frame_hdr)
    row = find_row(object.image, object.eh_frame_hdr, pc + static_cast<uintptr_t>(object.shift), runs);
  bool may_be_signal = row.cfa == CfaRule::none || row.returns == ReturnRule::in_link;
  if (may_be_signal && is_before_signal_return(pc)) row.cfa = CfaRule::signal;
  if (row.cfa == CfaRule::none && (is_outermost(pc, object) || is_made_up_return(pc, object))) row.cfa = CfaRule::end;
  row.module = g_module_number(object);
  return row;
}

Row compute_row(uintptr_t pc) {
  const char* nobody = nullptr;
  if (!g_recent_taken.compare_exchange_strong(nobody, &t_self, std::memory_order_acquire)) {
    Object object;
    return compute_row(pc, object, nullptr);
  }
  if (g_recent_generation != code_generation()) {
    g_recent_object = {};
    g_recent_runs.forget();
    g_recent_generation = code_generation();
  }
  Row row = compute_row(pc, g_recent_object, &g_recent_runs);
  g_recent_taken.store(nullptr, std::memory_order_release);
  return row;
}

inline Row row_for(uintptr_t pc) {
  uint64_t key = cache_key(pc);
  uint64_t packed;
  if (g_cache.find(key, packed)) return Row::unpack(packed);
  Row row = compute_row(pc);
  // Code without an object (a JIT's) may be replaced at any time: not cached.
  if (row.module != 0 || row.cfa != CfaRule::none) g_cache.put(key, row.pack());
  return row;
}

/// Where bp's present value came from: it plays a part in the outcome only once a frame's CFA is computed from it.
struct BasePointer {
  uintptr_t value;
  uintptr_t slot = 0;  ///< stack address it was loaded from; 0: the initial registers
  bool logged = false;
};

class Walker {
 public:
  /// `stack`: the one to meet, or null.
  Walker(const Registers& from, const StackBounds& bounds, SlotLog& log, WalkedStack* stack = nullptr)
      : pc_(from.pc),
        sp_(from.sp),
        exact_pc_(from.exact_pc),
        bp_{from.bp},
        knows_bp_(from.knows_bp),
        link_(arch::link_register(from.more)),
        bounds_(bounds),
        log_(log),
        stack_(stack) {}

  WalkResult run(uint32_t own_module, std::span<Frame> frames) {
    WalkResult result;
    for (;;) {
      if (stack_ && meets_or_enters(frames.size(), result.frames)) {
        if (result.frames && stack_->any_left_out_where_met(is_owning_call)) frames[result.frames - 1].is_owned = true;
        return result;
      }
      Row row = row_for(exact_pc_ ? pc_ : pc_ - 1);
      if (row.module == 0 || row.module != own_module) {
        if (result.frames == frames.size()) {
          result.truncated = true;
          return result;
        }
        frames[result.frames++] = {pc_, row.module, exact_pc_};
      } else if (result.frames && is_owning_call(pc_)) {
        frames[result.frames - 1].is_owned = true;
      }
      Outcome outcome = step(row);
      if (guessed_) result.truncated = true;
      result.followed_guess = followed_guess_;
      if (outcome == Outcome::end) return result;
      if (outcome == Outcome::lost) {
        result.truncated = true;
        return result;
      }
    }
  }

  /// Does the stack begin here, with no signal handler on the way?
  bool reaches_start_by_calls() {
    for (;;) {
      Outcome outcome = step(row_for(exact_pc_ ? pc_ : pc_ - 1));
      if (outcome == Outcome::end) return !guessed_ && !has_met_signal_;
      if (outcome == Outcome::lost || guessed_ || has_met_signal_) return false;
    }
  }

  bool has_met() const { return has_met_; }
  /// Is all that it went by in the log, and its state before each frame in the stack?
  bool is_whole() const { return !guessed_ && !has_met_signal_; }

 private:
  enum class Outcome { next, end, lost };

  bool meets_or_enters(size_t most_frames, size_t frames) {
    WalkedStack::State state{pc_, sp_, bp_.value, bp_.slot, exact_pc_, bp_.logged};
    has_met_ = is_whole() && stack_->meets(state, most_frames - frames);
    if (!has_met_) stack_->enter(state, frames, log_.size);
    return has_met_;
  }

  bool load(uintptr_t address, uintptr_t& value) const {
    if (address % sizeof(uintptr_t) != 0 || !bounds_.contains(address, sizeof(uintptr_t))) return false;
    value = *reinterpret_cast<const uintptr_t*>(address + static_cast<uintptr_t>(bounds_.shift));
    return true;
  }
  bool load_logged(uintptr_t address, uintptr_t& value) {
    if (!load(address, value)) return false;
    log_.add(address, value);
    return true;
  }
  uintptr_t use_bp() {
    if (stack_) stack_->bp_used();
    if (bp_.logged) return bp_.value;
    bp_.logged = true;
    if (bp_.slot)
      log_.add(bp_.slot, bp_.value);
    else if (log_.initial_bp)
      log_.add(reinterpret_cast<uintptr_t>(log_.initial_bp), bp_.value);
    else
      log_.depends_on_bp = true;
    return bp_.value;
  }

  Outcome step(const Row& known) {
    Row row = known;
    if constexpr (kReadsCode)
      if (known.cfa == CfaRule::none) row = row_by_code(known);
    uintptr_t cfa = 0;
    if (!knows_bp_ && needs_bp(row) && !guess_bp()) return Outcome::lost;
    if (!knows_sp_ && needs_sp(row)) return step_frame_record(row);
    switch (row.cfa) {
      case CfaRule::end:
        return Outcome::end;
      case CfaRule::signal:
        return step_signal();
      case CfaRule::none:
        return step_frame_pointer();
      case CfaRule::sp:
        cfa = sp_ + static_cast<intptr_t>(row.cfa_offset);
        break;
      case CfaRule::bp:
        cfa = use_bp() + static_cast<intptr_t>(row.cfa_offset);
        break;
      case CfaRule::at_bp:
        if (!load_logged(use_bp() + static_cast<intptr_t>(row.cfa_offset), cfa)) return Outcome::lost;
        break;
      case CfaRule::at_sp:
        if (!load_logged(sp_ + static_cast<intptr_t>(row.cfa_offset), cfa)) return Outcome::lost;
        break;
      case CfaRule::plt:
        cfa = sp_ + 8 + ((pc_ & 15) >= static_cast<uintptr_t>(row.cfa_offset / 8) ? 8 : 0);
        break;
    }
    // A function that leaves its return address in a register may have no frame.
    bool is_in_link = row.returns == ReturnRule::in_link;
    if (is_in_link || !knows_sp_ ? cfa < sp_ : cfa <= sp_) return Outcome::lost;
    uintptr_t pc = link_;
    if (!is_in_link && !load_logged(cfa + static_cast<intptr_t>(row.return_offset), pc)) return Outcome::lost;
    if (is_in_link && !link_) return Outcome::lost;
    if (row.bp == BpRule::at_cfa) {
      if (!reload_bp(cfa + static_cast<intptr_t>(row.bp_offset))) return Outcome::lost;
    } else if (row.bp == BpRule::at_bp) {
      if (!reload_bp(use_bp() + static_cast<intptr_t>(row.bp_offset))) return Outcome::lost;
    }
    knows_sp_ = true;
    link_ = 0;
    return enter(pc, cfa, false);
  }

  /// In programs of musl: from the code, if there is no call frame information. What was found out is kept.
  Row row_by_code(const Row& none) {
    if (!knows_sp_ || none.module == 0 || none.is_read_in_vain()) return none;
    auto accepts = [](void* context, const Row& row) {
      auto& self = *static_cast<Walker*>(context);
      if (row.cfa == CfaRule::bp && !self.knows_bp_) return false;
      uintptr_t cfa = (row.cfa == CfaRule::bp ? self.bp_.value : self.sp_) + static_cast<intptr_t>(row.cfa_offset);
      uintptr_t return_address, bp;
      if (row.bp == BpRule::at_cfa && !self.load(cfa + static_cast<intptr_t>(row.bp_offset), bp)) return false;
      return cfa > self.sp_ && self.load(cfa + static_cast<intptr_t>(row.return_offset), return_address) &&
             is_return_address(return_address);
    };
    uintptr_t place = exact_pc_ ? pc_ : pc_ - 1;
    Object object;
    if (!find_object(place, object) || object.shift) return none;
    Row row = find_row_by_code(object, pc_, {this, accepts});
    row.module = none.module;
    g_cache.put(cache_key(place), row.pack());
    return row;
  }

  bool reload_bp(uintptr_t slot) {
    uintptr_t value;
    if (!load(slot, value)) return false;
    bp_ = {value, slot, false};
    knows_bp_ = true;
    if (stack_) stack_->bp_loaded();
    return true;
  }

  static bool needs_bp(const Row& row) {
    return row.cfa == CfaRule::bp || row.cfa == CfaRule::at_bp || row.cfa == CfaRule::none || row.bp == BpRule::at_bp;
  }

  static bool needs_sp(const Row& row) {
    return row.cfa == CfaRule::sp || row.cfa == CfaRule::at_sp || row.cfa == CfaRule::plt || row.cfa == CfaRule::signal;
  }

  /// Finds this frame's pointer on the stack: above it lies the return address of the very call that entered this
  /// function. Without such a call (it was entered through a pointer or another library's table), the innermost place
  /// that looks like a saved frame pointer below any return address.
  bool guess_bp() {
    constexpr uintptr_t kFarthest = 64 * 1024;
    uintptr_t function = function_at(exact_pc_ ? pc_ : pc_ - 1);
    uintptr_t likely = 0;
    for (uintptr_t at = sp_; at - sp_ < kFarthest; at += sizeof(uintptr_t)) {
      uintptr_t saved, target, return_address;
      if (!load(at, saved) || !load(at + 8, return_address)) break;
      if (!follows_call(return_address, target)) continue;
      if (function && target == function) return believe_bp(at);
      bool is_chain = saved > at && bounds_.contains(saved, sizeof(uintptr_t));
      if (!likely && !target && is_chain) likely = at;
    }
    guessed_ = followed_guess_ = true;
    return likely && believe_bp(likely);
  }
  bool believe_bp(uintptr_t value) {
    bp_ = {value};
    knows_bp_ = true;
    return true;
  }

  /// `object` receives what the function lies in.
  static uintptr_t function_at(uintptr_t pc, Object& object) {
    if (!find_object(pc, object) || !object.eh_frame_hdr) return 0;
    auto shift = static_cast<uintptr_t>(object.shift);
    uintptr_t function = find_function(object.image, object.eh_frame_hdr, pc + shift);
    return function ? function - shift : 0;
  }
  static uintptr_t function_at(uintptr_t pc) {
    Object unused;
    return function_at(pc, unused);
  }

  /// Does a call instruction end at `pc`? `target` receives where a direct one goes within its object, 0 for others.
  static bool follows_call(uintptr_t pc, uintptr_t& target) {
    target = 0;
    Object object;
    pc = arch::plain_pc(pc);
    uintptr_t function = is_no_pc(pc) ? 0 : function_at(pc - 1, object);
    if (!function || pc - function < arch::kLongestCall) return false;
    uintptr_t place = pc + static_cast<uintptr_t>(object.shift);
    if (place > object.image.high || place < object.image.low || place - object.image.low < arch::kLongestCall)
      return false;
    bool is_call = arch::is_behind_call(pc, reinterpret_cast<const uint8_t*>(place), target);
    // Through the object's own table of other objects' functions: entered as by a pointer.
    if (target && (!function_at(target) || row_for(target).cfa == CfaRule::plt)) target = 0;
    return is_call;
  }

  Outcome step_signal() {
    has_met_signal_ = true;
    uintptr_t pc, sp, link = 0;
    if (!load_logged(sp_ + arch::kSignalPc, pc) || !load_logged(sp_ + arch::kSignalSp, sp)) return Outcome::lost;
    if (arch::kSignalLink && !load_logged(sp_ + arch::kSignalLink, link)) return Outcome::lost;
    if (!reload_bp(sp_ + arch::kSignalBp)) return Outcome::lost;
    link_ = link;
    // The interrupted code may stand on another stack (an alternate signal stack was in use).
    if (!bounds_.contains(sp, sizeof(uintptr_t))) {
      if (bounds_.shift) return Outcome::lost;  // of a copy there is no more than was copied
      bounds_ = probe_bounds(sp);
      log_.verifiable = false;
    }
    return enter(pc, sp, true);
  }

  /// No CFI (a JIT's code, hand-written assembly): guess that bp is a frame pointer, within bounds.
  Outcome step_frame_pointer() {
    uintptr_t frame = use_bp(), pc, caller_bp;
    if (frame == 0)
      return Outcome::end;  // how the outermost frame is marked (System V ABI, AMD64, 3.4.1; AAPCS64, 6.4.6)
    guessed_ = true;
    if (frame < sp_ || !load(frame, caller_bp) || !load_logged(frame + 8, pc)) return Outcome::lost;
    bp_ = {caller_bp, frame, false};
    followed_guess_ = true;
    knows_sp_ = arch::kRecordEndsFrame;
    link_ = 0;
    return enter(pc, frame + 16, false);
  }

  /// Where the frame that a frame pointer led to ends is not known; but where its record lies in it.
  Outcome step_frame_record(const Row& row) {
    bool has_record = row.bp == BpRule::at_cfa && row.returns == ReturnRule::at_cfa;
    if (!has_record || (!knows_bp_ && !guess_bp())) return Outcome::lost;
    Row by_record = row;
    by_record.cfa = CfaRule::bp;
    by_record.cfa_offset = -row.bp_offset;
    return step(by_record);
  }

  Outcome enter(uintptr_t pc, uintptr_t sp, bool exact) {
    if (pc == 0) return Outcome::end;
    pc = arch::plain_pc(pc);
    if (is_no_pc(pc)) return Outcome::lost;
    pc_ = pc;
    sp_ = sp;
    exact_pc_ = exact;
    return Outcome::next;
  }

  static bool is_no_pc(uintptr_t pc) { return pc < 4096 || pc >> arch::kAddressBits; }

  uintptr_t pc_;
  uintptr_t sp_;  ///< unless known, what it is not below
  bool exact_pc_;
  BasePointer bp_;
  bool knows_bp_;
  bool knows_sp_ = true;
  uintptr_t link_;  ///< the link register; 0: not known
  StackBounds bounds_;
  SlotLog& log_;
  WalkedStack* stack_;
  bool guessed_ = false;
  bool followed_guess_ = false;
  bool has_met_ = false;
  bool has_met_signal_ = false;
};

}  // namespace

bool prepare(ModuleNumber module_number) {
  g_module_number = module_number;
  prepare_objects();
  if constexpr (kReadsCode) prepare_code_reading();
  return g_cache.prepare();
}

WalkResult walk(const Registers& from, const StackBounds& bounds, uint32_t own_module, std::span<Frame> frames,
                SlotLog& log) {
  return Walker(from, bounds, log).run(own_module, frames);
}

WalkResult walk_again(const Registers& from, const StackBounds& bounds, uint32_t own_module, size_t most_frames,
                      SlotLog& log, WalkedStack& stack) {
  log.slots = stack.slot_room().data();
  log.capacity = stack.slot_room().size();
  log.size = 0;
  stack.begin();
  Walker walker(from, bounds, log, &stack);
  WalkResult result = walker.run(own_module, stack.frame_room().first(most_frames));
  bool whole = walker.is_whole() && !result.truncated && log.verifiable && !log.depends_on_bp && !log.overflowed;
  if (!stack.end(result.frames, log.size, walker.has_met(), whole)) log.overflowed = true;
  result.frames = stack.frames().size();
  log.slots = stack.slots().data();
  log.size = stack.slots().size();
  return result;
}

bool is_called_by_handler(const Registers& from, const StackBounds& bounds) {
  SlotLog log;
  return !Walker(from, bounds, log).reaches_start_by_calls();
}

void end_walk_left_behind() {
  if (g_recent_taken.load(std::memory_order_relaxed) == &t_self) reset_walks_after_fork();
}

void reset_walks_after_fork() {
  g_recent_generation = 0;
  g_recent_taken.store(nullptr, std::memory_order_release);
}

void forget_code() { g_code_generation.fetch_add(1, std::memory_order_relaxed); }

StackBounds probe_bounds(uintptr_t sp, size_t most_pages) {
  char bytes[kMostProbedPages];
  iovec remote[kMostProbedPages];
  size_t pages = most_pages < kMostProbedPages ? most_pages : kMostProbedPages;
  iovec local = {bytes, pages};
  uintptr_t page = sp & ~uintptr_t{4095};
  for (size_t i = 0; i < pages; ++i) remote[i] = {reinterpret_cast<void*>(page + i * 4096), 1};
  long got = base::raw_syscall(SYS_process_vm_readv, base::current_pid(), reinterpret_cast<long>(&local), 1,
                               reinterpret_cast<long>(remote), static_cast<long>(pages), 0);
  // Emulators do not have the call, nor has every kernel.
  if (got == -ENOSYS)
    for (got = 0; got < static_cast<long>(pages) && base::can_read(remote[got].iov_base);) ++got;
  if (got <= 0) return {sp, sp};
  return {page, page + static_cast<uintptr_t>(got) * 4096};
}

}  // namespace unfreed::unwind
