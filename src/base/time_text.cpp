#include "base/time_text.h"

#include "base/text.h"

namespace unfreed::base {

std::string_view format_time(uint64_t realtime_ns, std::span<char> out) {
  // Days to a date in the proleptic Gregorian calendar, counting years from March (Hinnant, "chrono-compatible
  // low-level date algorithms").
  uint64_t seconds = realtime_ns / 1'000'000'000;
  uint64_t days = seconds / 86400 + 719468;
  uint64_t era = days / 146097;
  uint64_t day_of_era = days % 146097;
  uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  uint64_t shifted_month = (5 * day_of_year + 2) / 153;
  uint64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  uint64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  uint64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  TextBuilder text(out);
  auto padded = [&](uint64_t value, uint64_t width_unit) {
    for (; width_unit > 1 && value < width_unit; width_unit /= 10) text.add('0');
    text.add_number(value);
  };
  padded(year, 1000);
  text.add('-');
  padded(month, 10);
  text.add('-');
  padded(day, 10);
  text.add('T');
  padded(seconds / 3600 % 24, 10);
  text.add(':');
  padded(seconds / 60 % 60, 10);
  text.add(':');
  padded(seconds % 60, 10);
  text.add('.');
  padded(realtime_ns % 1'000'000'000, 100'000'000);
  return text.add('Z').text();
}

}  // namespace unfreed::base
