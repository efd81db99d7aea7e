#include "track/operator_new.h"

#include <atomic>

#include "track/modules.h"
#include "unwind/call_target.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/objects.h"

namespace unfreed::track {

namespace {

constexpr unwind::SymbolName kForms[kNewForms] = {
    "_Znwm", "_ZnwmRKSt9nothrow_t", "_ZnwmSt11align_val_t", "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_Znam", "_ZnamRKSt9nothrow_t", "_ZnamSt11align_val_t", "_ZnamSt11align_val_tRKSt9nothrow_t",
};

uint16_t g_hooks[kNewForms];

/// Where a libstdc++ has the forms.
struct FormCode {
  uint32_t module = 0;
  uintptr_t start[kNewForms] = {};
  uintptr_t end[kNewForms] = {};

  explicit constexpr FormCode() = default;
  FormCode(const unwind::Object& object, uint32_t number) : module(number) {
    unwind::DynamicSymbols symbols(object);
    for (size_t form = 0; form < kNewForms; ++form) {
      auto* symbol = symbols.find_default(kForms[form]);
      if (!symbol) continue;
      start[form] = object.bias + symbol->st_value;
      end[form] = start[form] + symbol->st_size;
    }
  }

  /// The form that a call returns into; kNewForms if none.
  size_t around(uintptr_t return_address) const {
    size_t form = 0;
    while (form < kNewForms && !(return_address > start[form] && return_address <= end[form])) ++form;
    return form;
  }
  size_t beginning_at(uintptr_t address) const {
    size_t form = 0;
    while (form < kNewForms && (start[form] != address || !address)) ++form;
    return form;
  }
};

/// Usually there is one libstdc++, whose forms are cached. Any other is searched each time.
FormCode code_of(const unwind::Frame& frame) {
  enum State : uint8_t { kNone, kUnderWay, kDone };
  static constinit std::atomic<uint8_t> state{kNone};
  static constinit FormCode known;
  if (state.load(std::memory_order_acquire) == kDone && known.module == frame.module) return known;
  unwind::Object object;
  if (!unwind::find_object(frame.pc - 1, object)) return FormCode{};
  FormCode code(object, frame.module);
  uint8_t none = kNone;
  if (state.compare_exchange_strong(none, kUnderWay, std::memory_order_relaxed)) {
    known = code;
    state.store(kDone, std::memory_order_release);
  }
  return code;
}

}  // namespace

void set_operator_new_hooks(const uint16_t (&hooks)[kNewForms]) {
  for (size_t form = 0; form < kNewForms; ++form) g_hooks[form] = hooks[form];
}

void skip_operator_new(std::span<const unwind::Frame>& frames, uint16_t& hook) {
  if (frames.size() < 2 || frames[0].exact_pc || !is_cxx_module(frames[0].module)) return;
  FormCode code = code_of(frames[0]);
  size_t form;
  while (frames.size() > 1 && !frames[0].exact_pc && (form = code.around(frames[0].pc)) < kNewForms) {
    // A form that ends by jumping to another has left no frame: the call tells which one was meant.
    size_t called = frames[1].exact_pc ? kNewForms : code.beginning_at(unwind::call_target(frames[1].pc));
    hook = g_hooks[called < kNewForms ? called : form];
    frames = frames.subspan(1);
  }
}

}  // namespace unfreed::track
