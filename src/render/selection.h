// Which part of a report is shown, and in what order. A selection is applied to the evaluated report, once, before any
// renderer sees it: no renderer knows about it. Totals, rules and their outcomes stay those of everything.
#pragma once

#include <regex.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "render/grouping.h"
#include "report/report.h"

namespace unfreed::render {

/// A POSIX extended regular expression.
class Pattern {
 public:
  /// Empty: `error` is the reason, as the C library words it.
  static std::optional<Pattern> compile(const std::string& text, std::string& error);
  bool matches(std::string_view text) const;

 private:
  std::shared_ptr<regex_t> compiled_;
};

/// What call sites are sorted by: the largest first.
struct Order {
  std::string_view name;
  uint64_t (*number)(const report::Report& report, const report::Place& place);
};
std::span<const Order> orders();

struct Selection {
  uint64_t older_ns = 0;  ///< 0: of any age
  std::string older;      ///< as it was given
  uint32_t subjects = 0;  ///< report::bit_of() each; 0: all
  std::optional<Pattern> pattern;
  std::string thread;  ///< number or name; "": any
  uint64_t min = 0;    ///< of the number that `order` sorts by
  uint64_t top = 0;    ///< 0: all
  const Order* order = nullptr;
  GroupBy by = GroupBy::site;  ///< what is left is put together; `order`, `min` and `top` are about the groups
  std::string written;         ///< "--kind fd --top 3": for the line that says what is not shown

  bool is_any() const { return subjects || pattern || !thread.empty() || min || top || order || by != GroupBy::site; }
};

/// Leaves in the report's lists what is selected. The line that says what is not shown becomes the first of its notes,
/// and is returned; "" if all is.
std::string select(report::Report& report, base::Arena& arena, const Selection& selection);

}  // namespace unfreed::render
