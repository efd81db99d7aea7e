// Call sites as the C API shows them (unfreed_live_since_each): those of a report that hold something since a mark,
// with the program's own frames. As text, since the report is made in one process (a copy, or the command) for another:
//
//     count ␀ bytes ␀ acquired by ␀ target ␀ function ␀ file ␀ line ␀ stack ␀      for each call site, the worst first
//
// Allocation-free, async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/text.h"
#include "report/report.h"

namespace unfreed::report {

/// A site of the ledger, and what of it is asked about.
struct HeldSite {
  uint32_t site;
  uint64_t count;
  uint64_t bytes;
};

/// As an argument of a command: "SITE:COUNT:BYTES,…".
void add_held_sites(base::TextBuilder& out, std::span<const HeldSite> sites);
/// Returns how many were read: those before the first that cannot be.
size_t read_held_sites(std::string_view text, std::span<HeldSite> out);

/// A call site as it is shown; texts are NUL-terminated.
struct HeldText {
  uint64_t count = 0;
  uint64_t bytes = 0;
  std::string_view acquired_by;
  std::string_view target;    ///< of the newest that it holds; "" where it has none
  std::string_view function;  ///< the innermost of the program's own, as `file` and `line`
  std::string_view file;
  uint32_t line = 0;
  std::string_view stack;  ///< a line for each frame: "    function (file:line)\n"
};

/// Appends the call sites that `sites` (in order of their numbers) belong to, without what a suppression covers and
/// what is libc's. One that does not fit as a whole ends it. An empty part follows the last: no text at all is
/// no answer.
void describe_held_sites(const Report& report, std::span<const HeldSite> sites, base::TextBuilder& out);

/// Appends one that is described otherwise.
void add_held_text(base::TextBuilder& out, const HeldText& one);

/// Takes the first from `text`. False: there is none.
bool take_held_text(std::string_view& text, HeldText& out);

}  // namespace unfreed::report
