// The unwinder's .eh_frame decoder over any bytes: .eh_frame_hdr at the start of the input, .eh_frame behind it. Asked
// for the row of every address that the search table names, and of some around.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "check.h"
#include "unwind/eh_frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of exactly this size, so that a sanitizer sees any read outside it.
  auto image_bytes = std::make_unique<uint8_t[]>(size ? size : 1);
  if (size) std::memcpy(image_bytes.get(), data, size);
  auto header = reinterpret_cast<uintptr_t>(image_bytes.get());
  unfreed::unwind::Image image{header, header + size};
  auto recent = std::make_unique<unfreed::unwind::RecentRuns>();
  constexpr size_t kTableStart = 12;
  constexpr size_t kMostEntries = 256;
  for (size_t entry = 0; entry < kMostEntries && kTableStart + entry * 8 + 4 <= size; ++entry) {
    int32_t start;
    std::memcpy(&start, data + kTableStart + entry * 8, sizeof start);
    for (int32_t distance : {0, 1, 4, 11, 40}) {
      uintptr_t pc = header + static_cast<uintptr_t>(static_cast<intptr_t>(start)) + static_cast<uintptr_t>(distance);
      unfreed::unwind::Row row = unfreed::unwind::find_row(image, header, pc);
      // What is found can be cached: packing loses nothing.
      unfreed::unwind::Row back = unfreed::unwind::Row::unpack(row.pack());
      unfreed::test::check(back.cfa == row.cfa && back.cfa_offset == row.cfa_offset && back.bp == row.bp &&
                               back.bp_offset == row.bp_offset,
                           "packing a row loses nothing");
      unfreed::unwind::Row again = unfreed::unwind::find_row(image, header, pc, recent.get());
      unfreed::test::check(again.pack() == row.pack(), "what is remembered of others changes nothing");
    }
  }
  unfreed::unwind::find_row(image, header + size, header);
  return 0;
}
