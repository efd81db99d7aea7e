// Resources that a program knows by a handle, a number or an address: timers, shared memory, libraries. One table and
// one set of verbs for every kind that ledger/kinds.inc records as `handle`.
//
//     handle_acquired() ──▶ held ──handle_releasing()──▶ detached ──handle_released(true)──▶ gone
//                            ▲                              │
//                            └────handle_released(false)────┘  the call failed
//
// All are thread-safe, async-signal-safe and keep errno.
#pragma once

#include <cstdint>
#include <string_view>

#include "ledger/layout.h"
#include "track/live_since.h"
#include "unwind/frame.h"

namespace unfreed::track {

struct Handle {
  ledger::Kind kind;
  uint64_t id;              ///< what it is released by; the same one may be held several times
  uint64_t bytes = 0;       ///< where it has a size
  std::string_view target;  ///< what it refers to: cut to what a record has room for
};

/// The call has succeeded.
void handle_acquired(const Handle& handle, uint16_t function, const unwind::Registers& from);
/// The call has failed, by errno: recorded if a limit was reached.
void handle_not_acquired(ledger::Kind kind, uint16_t function, const unwind::Registers& from);

/// A record that is about to be released; 0: no resource with that id is known.
struct HandleRelease {
  uint32_t record = 0;  ///< index + 1
  uint64_t word = 0;
};
/// Called before the releasing call, as another thread may get the same id at once: detaches the newest record of that
/// id.
HandleRelease handle_releasing(ledger::Kind kind, uint64_t id);
void handle_released(const HandleRelease& release, bool succeeded);

/// Wraps a releasing call. `succeeded(result)` tells whether it did.
template <class Call, class Succeeded>
auto handle_release(ledger::Kind kind, uint64_t id, Call call, Succeeded succeeded) {
  HandleRelease release = handle_releasing(kind, id);
  auto result = call();
  handle_released(release, succeeded(result));
  return result;
}

/// Is a resource of that kind and id known?
bool handle_is_known(ledger::Kind kind, uint64_t id);

/// Adds the handles of a kind that were acquired after `serial` and are held.
void handle_live_since(ledger::Kind kind, uint32_t serial, LiveSince& out);

/// Fork child: forgets the parent's handles.
void reset_handles_after_fork();

}  // namespace unfreed::track
