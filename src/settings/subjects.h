// What reports count, and with which counters: the rows of ledger/kinds.inc and settings/counters.inc as tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/constant_text.h"
#include "ledger/layout.h"

namespace unfreed::report {

/// What totals and rules are about: the kinds of resources, under their own numbers, and two kinds of misuse of
/// descriptors.
enum class Subject : uint8_t {
#define KIND(name, number, noun, by_default, recorded, news) name = number,
#include "ledger/kinds.inc"
#undef KIND
  misuse = ledger::kKindCount,  ///< invalid closes
  exec,                         ///< descriptors that another program inherited
};
inline constexpr size_t kSubjectCount = ledger::kKindCount + 2;
constexpr size_t index_of(Subject subject) { return static_cast<size_t>(subject); }
constexpr Subject subject_of(ledger::Kind kind) { return static_cast<Subject>(kind); }

struct SubjectRow {
  std::string_view name;  ///< in rules and reports
  std::string_view noun;  ///< "descriptor"
  ledger::Kind kind;      ///< that must be tracked for the subject to be known
};
inline constexpr SubjectRow kSubjects[kSubjectCount] = {
#define KIND(name, number, noun, by_default, recorded, news) {#name, noun, ledger::Kind::name},
#include "ledger/kinds.inc"
#undef KIND
    {"misuse", "invalid close", ledger::Kind::fd},
    {"inherited_by_child", "descriptor inherited by another program", ledger::Kind::fd},
};
/// "fd, heap, thread, child": for messages.
constexpr base::ConstantText<> list_kinds(std::string_view start, std::string_view last,
                                          std::string_view separator = ", ") {
  std::string_view names[ledger::kKindCount];
  for (size_t at = 0; at < ledger::kKindCount; ++at) names[at] = kSubjects[at].name;
  return base::ConstantText<>(start).add_list(names, last, separator);
}
constexpr const SubjectRow& row_of(Subject subject) { return kSubjects[index_of(subject)]; }
/// False if there is no subject of this name.
bool subject_from_name(std::string_view name, Subject& out);

/// "fd", "heap" … as in rules and reports.
std::string_view kind_name(ledger::Kind kind);
/// False if there is no counter of this name.
bool kind_from_name(std::string_view name, ledger::Kind& out);

/// A counter of a subject.
enum class Counter : uint8_t {
#define COUNTER(name, in_totals, in_rules, in_site_rules, suppressed_part, presence, meaning) name,
#include "settings/counters.inc"
#undef COUNTER
  count_,
  none = count_
};
inline constexpr size_t kCounterCount = static_cast<size_t>(Counter::count_);

/// Of a member of a report.
enum class Presence : uint8_t {
  always,
  if_set,  ///< left out when 0, false, "", empty or absent
};

struct CounterRow {
  std::string_view name;
  uint32_t in_totals;      ///< bit per Subject
  uint32_t in_rules;       ///< bit per Subject
  uint32_t in_site_rules;  ///< bit per Subject
  Counter suppressed;      ///< its suppressed part
  Presence presence;       ///< in a report
  std::string_view meaning;
};
namespace is_handle {
inline constexpr uint32_t own = 0;
inline constexpr uint32_t handle = 1;
}  // namespace is_handle
namespace subject_bits {
#define KIND(name, number, noun, by_default, recorded, news) inline constexpr uint32_t name = 1u << number;
#include "ledger/kinds.inc"
#undef KIND
inline constexpr uint32_t misuse = 1u << index_of(Subject::misuse);
inline constexpr uint32_t exec = 1u << index_of(Subject::exec);
inline constexpr uint32_t none = 0;
/// All kinds that are recorded as handles.
inline constexpr uint32_t handle = 0
#define KIND(name, number, noun, by_default, recorded, news) | (is_handle::recorded << number)
#include "ledger/kinds.inc"
#undef KIND
    ;

inline constexpr CounterRow kRows[kCounterCount] = {
#define COUNTER(name, in_totals, in_rules, in_site_rules, suppressed_part, presence, meaning) \
  {#name, in_totals, in_rules, in_site_rules, Counter::suppressed_part, Presence::presence, meaning},
#include "settings/counters.inc"
#undef COUNTER
};
}  // namespace subject_bits
using subject_bits::kRows;
constexpr const CounterRow& row_of(Counter counter) { return kRows[static_cast<size_t>(counter)]; }
/// Is it a number of bytes? The heap's growth is one of bytes.
constexpr bool is_bytes(Subject subject, Counter counter) {
  return row_of(counter).name.ends_with("bytes") || (counter == Counter::growth && subject == Subject::heap);
}
/// Is it news that a program ends with resources of this kind? Nearly every one has heap blocks and libraries in use.
constexpr bool is_news(ledger::Kind kind) {
  constexpr bool kNews[] = {
#define KIND(name, number, noun, by_default, recorded, news) news,
#include "ledger/kinds.inc"
#undef KIND
  };
  return static_cast<size_t>(kind) < ledger::kKindCount && kNews[static_cast<size_t>(kind)];
}

/// Kinds tracked by default, and kinds that UNFREED_TRACK accepts. A bit per ledger::Kind.
inline constexpr uint32_t kAllKinds = (1u << ledger::kKindCount) - 1;
inline constexpr uint32_t kDefaultKinds = 0
#define KIND(name, number, noun, by_default, recorded, news) | uint32_t{by_default} << number
#include "ledger/kinds.inc"
#undef KIND
    ;

/// Is the kind recorded in the ledger's table of handles?
constexpr bool is_handle_kind(ledger::Kind kind) { return subject_bits::handle >> static_cast<unsigned>(kind) & 1; }
constexpr uint32_t bit_of(Subject subject) { return 1u << index_of(subject); }

/// All counters of one subject. Counters that the subject does not have are 0.
class Totals {
 public:
  uint64_t& operator[](Counter counter) { return values_[static_cast<size_t>(counter)]; }
  uint64_t operator[](Counter counter) const { return values_[static_cast<size_t>(counter)]; }

  /// The value that a rule uses: without the part that suppressions cover.
  uint64_t counted(Counter counter) const {
    Counter part = row_of(counter).suppressed;
    uint64_t value = (*this)[counter];
    uint64_t suppressed = part == Counter::none ? 0 : (*this)[part];
    return value > suppressed ? value - suppressed : 0;
  }

  /// Calls `visit(counter, row)` for each counter of the subject.
  template <class Visit>
  static void each_of(Subject subject, Visit visit) {
    for (size_t at = 0; at < kCounterCount; ++at)
      if (kRows[at].in_totals & bit_of(subject)) visit(static_cast<Counter>(at), kRows[at]);
  }

 private:
  uint64_t values_[kCounterCount] = {};
};

}  // namespace unfreed::report
