#include "settings/subjects.h"

namespace unfreed::report {

bool subject_from_name(std::string_view name, Subject& out) {
  for (size_t at = 0; at < kSubjectCount; ++at) {
    if (kSubjects[at].name != name) continue;
    out = static_cast<Subject>(at);
    return true;
  }
  return false;
}

std::string_view kind_name(ledger::Kind kind) {
  auto at = static_cast<size_t>(kind);
  return at < ledger::kKindCount ? kSubjects[at].name : std::string_view("unknown");
}

bool kind_from_name(std::string_view name, ledger::Kind& out) {
  Subject subject;
  if (!subject_from_name(name, subject) || index_of(subject) >= ledger::kKindCount) return false;
  out = static_cast<ledger::Kind>(subject);
  return true;
}

}  // namespace unfreed::report
