// A ledger with one of everything, damaged as a fuzzer's input says: patches, each of which overwrites bytes. Place 0
// is the header, n + 1 section n.
//
//     { place offset(2) length bytes… }…
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "check.h"
#include "support/full_ledger.h"
#include "support/report_text.h"

namespace unfreed::test {

class DamagedLedger {
 public:
  DamagedLedger() : pristine_(LedgerSize::compact) {
    fill(pristine_);
    damaged_.resize(pristine_.bytes().size() / sizeof(uint64_t));
  }
  LedgerBuilder& pristine() { return pristine_; }

  /// Valid until the next call.
  std::span<const std::byte> damage(const uint8_t* data, size_t size) {
    std::memcpy(damaged_.data(), pristine_.bytes().data(), pristine_.bytes().size());
    std::span<std::byte> ledger(reinterpret_cast<std::byte*>(damaged_.data()), pristine_.bytes().size());
    for (size_t at = 0; at + 4 <= size;) {
      size_t place = data[at] % (ledger::kSectionCount + 1);
      size_t offset = size_t{data[at + 1]} | size_t{data[at + 2]} << 8;
      size_t length = data[at + 3];
      at += 4;
      if (length > size - at) length = size - at;
      size_t start = place == 0 ? 0 : pristine_.header().sections[place - 1].offset;
      if (start + offset + length <= ledger.size()) std::memcpy(ledger.data() + start + offset, data + at, length);
      at += length;
    }
    return ledger;
  }

 private:
  LedgerBuilder pristine_;
  std::vector<uint64_t> damaged_;
};

inline void check_report_of(const ledger::View& view) {
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
    check(write_report(input, text_sink(text), form).written, "a report is written");
    check(nlohmann::json::accept(text), "a report is valid JSON");
  }
}

}  // namespace unfreed::test
