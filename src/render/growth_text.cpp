#include "render/growth_text.h"

#include <fmt/format.h>

#include "render/quantities.h"

namespace unfreed::render {

namespace {

constexpr uint64_t kHoursADay = 24;

std::string write_number(uint64_t number, ledger::Kind kind) {
  return kind == ledger::Kind::heap ? write_bytes(number) : write_count(number);
}

/// "720 per hour (650 to 790)"
std::string write_rate(const report::Growth& growth, ledger::Kind kind) {
  bool is_hourly = growth.per_day >= kHoursADay;
  uint64_t days = is_hourly ? kHoursADay : 1;
  std::string text = fmt::format("{} per {}", write_number(growth.per_day / days, kind), is_hourly ? "hour" : "day");
  std::string least = write_number(growth.per_day_least / days, kind);
  std::string most = write_number((growth.per_day_most + days - 1) / days, kind);
  return least == most ? text : text + fmt::format(" ({} to {})", least, most);
}

}  // namespace

std::string describe_growth(const report::Growth& growth, ledger::Kind kind) {
  switch (growth.course) {
    case report::Course::grows:
      return "grows by " + write_rate(growth, kind);
    case report::Course::levels_off:
      return "levels off";
    case report::Course::steady:
      return "is steady";
    default:
      return growth.reason.empty() ? "cannot be told yet" : fmt::format("cannot be told yet: {}", growth.reason);
  }
}

std::string describe_growth(const Place& place) {
  if (!place.growth) return {};
  switch (place.growth->course) {
    case report::Course::grows:
      return ", growing by " + write_rate(*place.growth, place.site->kind);
    case report::Course::levels_off:
      return ", levelling off";
    case report::Course::steady:
      return ", steady";
    default:
      return {};
  }
}

std::string describe_limit(const report::KindGrowth& one) {
  if (!one.limit || !one.limit_in_ns) return {};
  return fmt::format("the limit of {} descriptors is reached in about {}", write_count(*one.limit),
                     write_duration(*one.limit_in_ns));
}

bool is_worth_saying(const report::KindGrowth& one) {
  return one.growth.first != one.growth.last || one.growth.course == report::Course::grows;
}

}  // namespace unfreed::render
