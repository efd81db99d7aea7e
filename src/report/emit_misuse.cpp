// Descriptors that were closed by who had no right to, that went along into other programs, and what ran out.
#include "base/text.h"
#include "report/emit.h"

namespace unfreed::report {

namespace {

constexpr std::string_view kMisuseNames[] = {"", "double_close", "not_open", "behind_owner", "stale_owner"};

/// One of the places that explain a misuse; absent where there is none.
void emit_place(Emission& emission, std::string_view key, uint32_t site, int32_t thread, uint64_t when_ns) {
  const ledger::Site* record = site == 0 ? nullptr : emission.view().site(site);
  if (!record) return;
  JsonText& json = emission.json;
  json.key(key).begin_object();
  json.member("function", emission.graded.door(record->door));
  json.member("thread", thread);
  json.member("age_ns", emission.age_ns(when_ns));
  bool cut = emit_stack(emission, record->node);
  json.member("truncated", cut || (record->flags & ledger::kSiteTruncated) != 0);
  json.end_object();
}

void emit_suppression(Emission& emission, uint32_t suppression) {
  if (suppression != kNoIndex) emission.json.member("suppressed_by", emission.input.suppressions[suppression].text);
}

std::string_view text_of(const char* name, size_t room) {
  size_t length = 0;
  while (length < room && name[length] != '\0') ++length;
  return {name, length};
}

}  // namespace

void emit_misuse(Emission& emission) {
  JsonText& json = emission.json;
  json.key("misuse").begin_array();
  for (const GradedMisuse& misuse : emission.graded.misuses) {
    const ledger::Misuse* record = emission.view().misuse(misuse.index);
    if (!record || record->kind >= sizeof kMisuseNames / sizeof kMisuseNames[0]) continue;
    json.begin_object();
    json.member("type", kMisuseNames[record->kind]);
    json.member("count", misuse.count);
    json.member("fd", record->fd);
    if (std::string_view owner = owner_name(record->owner_kind); !owner.empty()) json.member("owner", owner);
    emit_place(emission, "opened", record->opened_site, record->opened_tid, record->opened_ns);
    emit_place(emission, "first_closed", record->closed_site, record->closed_tid, record->closed_ns);
    emit_place(emission, "closed", record->site, record->tid, record->first_ns);
    emit_suppression(emission, misuse.suppression);
    json.end_object();
  }
  json.end_array();
}

void emit_crossings(Emission& emission) {
  JsonText& json = emission.json;
  json.key("inherited_by_child").begin_array();
  for (const GradedCrossing& crossing : emission.graded.crossings) {
    const ledger::Crossing* record = emission.view().crossing(crossing.index);
    const ledger::Site* site = record ? emission.view().site(record->site) : nullptr;
    if (!site) continue;
    json.begin_object();
    json.member("fd", record->fd);
    json.member("count", crossing.count);
    json.member("program", text_of(record->program, sizeof record->program));
    json.member("started_by", emission.graded.door(record->door));
    json.member("process", record->caller_pid);
    json.member("acquired_by", emission.graded.door(site->door));
    json.member("age_ns", emission.age_ns(record->acquired_ns));
    bool cut = emit_stack(emission, site->node);
    json.member("truncated", cut || (site->flags & ledger::kSiteTruncated) != 0);
    emit_suppression(emission, crossing.suppression);
    json.end_object();
  }
  json.end_array();
}

void emit_exhaustion(Emission& emission) {
  uint32_t number = emission.view().header().exhausted_by.load(std::memory_order_acquire);
  const ledger::Failure* failure = number == 0 ? nullptr : emission.view().failure(number - 1);
  if (emission.input.trigger != Trigger::exhaustion || !failure) return;
  JsonText& json = emission.json;
  json.key("exhaustion").begin_object(Layout::compact);
  json.member("door", emission.graded.door(failure->door));
  json.member("kind", kind_name(static_cast<ledger::Kind>(failure->kind < ledger::kKindCount ? failure->kind : 0)));
  base::FixedText<32> text;
  std::string_view name = error_name(failure->error);
  json.member("error", name.empty() ? text.add("errno ").add_number(failure->error).text() : name);
  json.end_object();
}

}  // namespace unfreed::report
