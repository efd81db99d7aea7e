// Widgets.
#include "hook/real.h"
#include "track/handles.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;

UNFREED_HOOK int widget_make(int size) {
  int result = g_real.widget_make(size);
  if (result >= 0)
    track::handle_acquired(
        {ledger::Kind::widget, static_cast<uint64_t>(result), static_cast<uint64_t>(size), "a widget"},
        hook_number(Hook::widget_make), caller_registers());
  else
    track::handle_not_acquired(ledger::Kind::widget, hook_number(Hook::widget_make), caller_registers());
  return result;
}

UNFREED_HOOK int widget_give_back(int widget) {
  return track::handle_release(
      ledger::Kind::widget, static_cast<uint64_t>(widget), [&] { return g_real.widget_give_back(widget); },
      [](int result) { return result == 0; });
}
