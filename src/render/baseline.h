// A baseline: leaks that are accepted for now, as a suppression file with a limit (max=) for each call site. People
// review it in pull requests, so what they wrote into it stays, and its order is stable:
//
//     # unfreed baseline
//
//     # fd from fopen64
//     #     open_log (src/log.c:42)
//     #     main (src/main.c:10)
//     # reason:
//     fd:signature:5f3a9c0123456789 max=3
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "render/renderers.h"

namespace unfreed::render {

/// A call site that holds something which is a leak, or has lost some (heap).
struct Leak {
  ledger::Kind kind = ledger::Kind::fd;
  uint64_t signature = 0;
  uint64_t count = 0;       ///< the most in any of the reports: descriptors …, lost heap blocks
  std::string description;  ///< "from fopen64", then frames, a line each
};

/// All call sites that are leaks, but for those that other suppressions than a baseline's cover. By kind, then by
/// stack.
std::vector<Leak> list_leaks(Reports reports, const RenderOptions& options);

std::string write_baseline(const std::vector<Leak>& leaks);

/// How reports differ from a baseline.
struct BaselineChange {
  enum class Type : uint8_t {
    fresh,   ///< not in the baseline
    grown,   ///< more than it allows
    shrunk,  ///< less than it allows
    gone,    ///< nothing of it
  };
  Type type = Type::fresh;
  Leak leak;  ///< the count is the reports'; of what is gone, the description is the entry's line
  uint64_t allowed = 0;
};

/// A baseline's text compared with leaks. `updated`: the text with new counts, without what is gone, and with what is
/// new at its end; what is no call site's signature stays as it is, and so do entries of kinds that the reports have
/// not seen (`seen_kinds`: a bit for each that they have).
struct BaselineComparison {
  std::vector<BaselineChange> changes;
  std::string updated;
  bool is_worse() const;
};
BaselineComparison compare_baseline(std::string_view text, const std::vector<Leak>& leaks, uint32_t seen_kinds);

}  // namespace unfreed::render
