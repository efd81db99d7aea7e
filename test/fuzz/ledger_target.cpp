// The input is damage to a ledger that has one of everything, or a whole ledger:
//
//     0 bytes…                                   the bytes are the ledger
//     other { place offset(2) length bytes… }…   each patch overwrites bytes: place 0 is the header, n + 1 section n
//
// Whatever the ledger, it is refused or its report is written, and is valid JSON.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "check.h"
#include "support/full_ledger.h"

#include "support/report_text.h"

namespace {

using namespace unfreed;

void write_report_over(std::span<const std::byte> bytes) {
  ledger::View view;
  if (const char* fault = ledger::View::open(bytes, view)) {
    test::check(std::strlen(fault) > 0, "a refused ledger says why");
    return;
  }
  report::Suppression suppressions[2];
  size_t count = 0;
  size_t line = 0;
  report::ParseError error;
  report::parse_suppressions("fd:*bare*\n*:signature:12\n", suppressions, count, error, line);
  report::Settings settings;
  report::parse_rules("fd>0,site.fd>1,heap.bytes>1,thread>0,child>0,misuse>0,inherited_by_child>0", settings.rules,
                      error);
  report::ReportInput input;
  input.view = &view;
  input.suppressions = {suppressions, count};
  input.settings = &settings;
  input.all_sites = true;
  for (report::StackForm form : {report::StackForm::file, report::StackForm::listed}) {
    std::string text;
    test::check(test::write_report(input, test::text_sink(text), form).written, "a report is written");
    test::check(nlohmann::json::accept(text), "a report is valid JSON");
  }
}

/// The pristine ledger, and the memory that is damaged.
struct Ledgers {
  Ledgers() : pristine(test::LedgerSize::compact) {
    test::fill(pristine);
    damaged.resize(pristine.bytes().size() / sizeof(uint64_t));
  }
  std::span<std::byte> restore() {
    std::memcpy(damaged.data(), pristine.bytes().data(), pristine.bytes().size());
    return {reinterpret_cast<std::byte*>(damaged.data()), pristine.bytes().size()};
  }
  test::LedgerBuilder pristine;
  std::vector<uint64_t> damaged;
};

void apply_patches(std::span<std::byte> ledger, const uint8_t* data, size_t size, const ledger::Header& original) {
  for (size_t at = 0; at + 4 <= size;) {
    size_t place = data[at] % (ledger::kSectionCount + 1);
    size_t offset = size_t{data[at + 1]} | size_t{data[at + 2]} << 8;
    size_t length = data[at + 3];
    at += 4;
    if (length > size - at) length = size - at;
    size_t start = place == 0 ? 0 : original.sections[place - 1].offset;
    if (start + offset + length <= ledger.size()) std::memcpy(ledger.data() + start + offset, data + at, length);
    at += length;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  if (data[0] == 0) {
    std::vector<uint64_t> aligned((size - 1 + 7) / 8);
    if (size > 1) std::memcpy(aligned.data(), data + 1, size - 1);
    write_report_over({reinterpret_cast<const std::byte*>(aligned.data()), size - 1});
    return 0;
  }
  static Ledgers ledgers;
  std::span<std::byte> damaged = ledgers.restore();
  apply_patches(damaged, data + 1, size - 1, ledgers.pristine.header());
  write_report_over(damaged);
  return 0;
}
