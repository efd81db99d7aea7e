// The report writer: ledger view in, JSON (schema version 1) out. The one writer for both halves: in the process itself
// it names functions from symbol tables; in the command a resolver adds files, lines and inlined frames.
// Allocation-free but for the scratch memory given; async-signal-safe if the resolver is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "ledger/view.h"
#include "report/rules.h"
#include "report/suppressions.h"

namespace unfreed::report {

/// Where the text goes: called with pieces in order; false stops the writing (disk full …).
struct Sink {
  void* context = nullptr;
  bool (*write)(void* context, std::string_view piece) = nullptr;
};

/// One source-level frame; empty text where not known.
struct ResolvedFrame {
  std::string_view function;      ///< demangled where the resolver can
  std::string_view linkage_name;  ///< as in the symbol table; what signatures are made of
  std::string_view file;          ///< absolute where known
  uint32_t line = 0;              ///< 0 unknown
  bool inlined = false;           ///< inlined into the next frame of the same call
};

/// Turns a node into its source-level frames: innermost inlined frame first, the physical function last (inlined =
/// false). `emit` is called at least once, or never if nothing is known. Texts need live only for the call.
struct FrameResolver {
  void* context = nullptr;
  void (*resolve)(void* context, const ledger::View& view, const ledger::Node& node, void* emit_context,
                  void (*emit)(void* emit_context, const ResolvedFrame& frame)) = nullptr;
};

enum class Trigger : uint8_t { exit, signal, api, snapshot, post_mortem, exhaustion };
std::string_view trigger_name(Trigger trigger);

struct ReportInput {
  const ledger::View* view = nullptr;
  Trigger trigger = Trigger::exit;
  FrameResolver resolver;
  std::span<const Rule> rules;
  std::span<const Suppression> suppressions;
  int wait_status = -1;              ///< from waitpid, where the writer is the parent; -1: use the ledger's exit_status
  uint64_t now_monotonic_ns = 0;     ///< ages and duration of a process that still runs
  bool all_sites = false;            ///< also sites with nothing live
  uint32_t most_sites = UINT32_MAX;  ///< sites written, worst first; the rest are counted in "sites_omitted"
  std::span<const std::string_view> notes;  ///< extra notes, e.g. "the target's /proc could not be read"
  std::span<std::byte> scratch;             ///< at least scratch_bytes(view)
};

/// Working memory a report over this view needs.
size_t scratch_bytes(const ledger::View& view);

/// What the report came to.
struct ReportResult {
  bool written = false;          ///< the sink took everything
  bool broken = false;           ///< a rule is broken
  bool unchecked = false;        ///< a rule could not be checked (its kind is unavailable or not tracked)
  bool complete = true;          ///< nothing dropped
  bool holds_something = false;  ///< after suppressions: fds or threads of its own are still held (heap does not count)
};

/// Reconciles the ledger's fd table with its kernel_fds, grades and orders sites, evaluates rules, writes the JSON.
ReportResult write_report(const ReportInput& input, const Sink& sink);

/// The signature of a stack: a hash of kind, acquiring function, and of each physical frame "module base name!linkage
/// name" (compiler clone suffixes such as .constprop.0 or .isra.0 cut; "?" for unnamed), put together from the
/// outermost frame in. Both halves, and the reader when it fills in names later, use these.
inline constexpr uint64_t kEmptyStackHash = 0xcbf29ce484222325;
/// The hash of a stack with one more frame inside it.
uint64_t stack_hash(uint64_t callers, std::string_view module_path, std::string_view linkage_name);
uint64_t signature_of(uint64_t stack_hash, ledger::Kind kind, std::string_view door);

}  // namespace unfreed::report
