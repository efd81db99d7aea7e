// The input is damage to a ledger that has one of everything, or a whole ledger:
//
//     0 bytes…        the bytes are the ledger
//     other bytes…    patches (damaged_ledger.h)
//
// Whatever the ledger, it is refused or its report is written, and is valid JSON.
#include "damaged_ledger.h"

namespace {

using namespace unfreed;

void write_report_over(std::span<const std::byte> bytes) {
  ledger::View view;
  if (const char* fault = ledger::View::open(bytes, view))
    test::check(std::strlen(fault) > 0, "a refused ledger says why");
  else
    test::check_report_of(view);
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
  static test::DamagedLedger ledger;
  write_report_over(ledger.damage(data + 1, size - 1));
  return 0;
}
