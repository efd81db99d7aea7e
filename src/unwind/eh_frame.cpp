#include "unwind/eh_frame.h"

#include <cstring>

#include "arch/dwarf_registers.h"
#include "unwind/cfa_machine.h"

namespace unfreed::unwind {

namespace {

struct Fde {
  uintptr_t cie_address = 0;
  Cie cie;
  uintptr_t start = 0;
  uintptr_t size = 0;
  Instructions body;
};

/// Enters a length-prefixed record: `record` then spans what follows the length.
bool enter_record(const Image& image, uintptr_t address, Instructions& record) {
  if (address < image.low || address >= image.high) return false;
  Cursor cursor(address, image.high);
  uint64_t length = cursor.fixed<uint32_t>();
  if (length == 0xffffffff) length = cursor.fixed<uint64_t>();
  if (!cursor.ok() || length == 0 || length > image.high - cursor.at()) return false;
  record = {cursor.at(), cursor.at() + length};
  return true;
}

bool parse_cie(const Image& image, uintptr_t address, Cie& cie) {
  Instructions record;
  if (!enter_record(image, address, record)) return false;
  Cursor cursor(record.begin, record.end);
  if (cursor.fixed<uint32_t>() != 0) return false;  // a CIE's id
  uint8_t version = cursor.fixed<uint8_t>();
  if (version != 1 && version != 3) return false;
  char augmentation[8] = {};
  for (size_t i = 0;; ++i) {
    if (i == sizeof augmentation) return false;
    augmentation[i] = static_cast<char>(cursor.fixed<uint8_t>());
    if (!augmentation[i]) break;
  }
  cie.code_align = cursor.uleb();
  cie.data_align = cursor.sleb();
  cie.return_register = version == 1 ? cursor.fixed<uint8_t>() : cursor.uleb();
  if (augmentation[0] == 'z') {
    cie.has_augmentation_data = true;
    uint64_t size = cursor.uleb();
    uintptr_t data = cursor.at();
    for (const char* letter = augmentation + 1; *letter; ++letter) {
      if (*letter == 'R') {
        cie.pointer_encoding = cursor.fixed<uint8_t>();
      } else if (*letter == 'P') {
        uint8_t encoding = cursor.fixed<uint8_t>();
        cursor.encoded(encoding & ~kPeIndirect, 0);
      } else if (*letter == 'L') {
        cursor.fixed<uint8_t>();
      } else if (*letter == 'S') {
        cie.signal = true;
      } else if (*letter != 'B') {
        break;
      }
    }
    if (!cursor.ok() || size > record.end - data) return false;
    cie.initial = {data + size, record.end};
  } else if (augmentation[0] == '\0') {
    cie.initial = {cursor.at(), record.end};
  } else {
    return false;
  }
  return cursor.ok();
}

bool parse_fde(const Image& image, uintptr_t address, RecentRuns* recent, Fde& fde) {
  Instructions record;
  if (!enter_record(image, address, record)) return false;
  Cursor cursor(record.begin, record.end);
  uintptr_t id_place = cursor.at();
  uint32_t cie_distance = cursor.fixed<uint32_t>();
  if (cie_distance == 0 || cie_distance > id_place) return false;
  fde.cie_address = id_place - cie_distance;
  if (const CfaMachine* known = recent ? recent->of_cie(fde.cie_address) : nullptr)
    fde.cie = known->cie();
  else if (!parse_cie(image, fde.cie_address, fde.cie))
    return false;
  fde.start = cursor.encoded(fde.cie.pointer_encoding, 0);
  fde.size = cursor.encoded(fde.cie.pointer_encoding & 0x0f, 0);
  if (fde.cie.has_augmentation_data) cursor.skip(cursor.uleb());
  fde.body = {cursor.at(), record.end};
  return cursor.ok();
}

/// Binary search in the table of .eh_frame_hdr: (start pc, FDE address) pairs, sorted, 32 bits each, relative to the
/// header.
uintptr_t search_table(const Image& image, uintptr_t header, uintptr_t pc) {
  if (header < image.low || header >= image.high) return 0;
  Cursor cursor(header, image.high);
  if (cursor.fixed<uint8_t>() != 1) return 0;
  uint8_t frame_encoding = cursor.fixed<uint8_t>();
  uint8_t count_encoding = cursor.fixed<uint8_t>();
  uint8_t table_encoding = cursor.fixed<uint8_t>();
  if (frame_encoding == kPeOmit || count_encoding == kPeOmit || table_encoding != (kPeDataRelative | kPeSdata4))
    return 0;
  cursor.encoded(frame_encoding, header);
  uint64_t count = cursor.encoded(count_encoding, header);
  uintptr_t table = cursor.at();
  if (!cursor.ok() || count == 0 || count > (image.high - table) / 8) return 0;
  auto entry = [table](uint64_t index, unsigned word) {
    int32_t value;
    std::memcpy(&value, reinterpret_cast<const void*>(table + index * 8 + word * 4), 4);
    return value;
  };
  auto wanted = static_cast<int64_t>(pc - header);
  if (wanted < entry(0, 0)) return 0;
  uint64_t low = 0, high = count;
  while (high - low > 1) {
    uint64_t half = (high - low) / 2, middle = low + half;
    // Where it goes on from here, either way: mostly memory that is in no cache.
    __builtin_prefetch(reinterpret_cast<const void*>(table + (low + half / 2) * 8));
    __builtin_prefetch(reinterpret_cast<const void*>(table + (middle + half / 2) * 8));
    (entry(middle, 0) <= wanted ? low : high) = middle;
  }
  return header + static_cast<uintptr_t>(static_cast<intptr_t>(entry(low, 1)));
}

bool find_fde(const Image& image, uintptr_t eh_frame_hdr, uintptr_t pc, RecentRuns* recent, Fde& fde) {
  uintptr_t address = search_table(image, eh_frame_hdr, pc);
  return address && parse_fde(image, address, recent, fde) && pc >= fde.start && pc - fde.start < fde.size &&
         fde.start >= image.low && pc < image.high;
}

}  // namespace

void each_function(const Image& image, uintptr_t begin, uintptr_t end, void* context,
                   void (*visit)(void* context, uintptr_t start, uintptr_t fde)) {
  Instructions record;
  for (uintptr_t at = begin; at < end && enter_record(image, at, record); at = record.end) {
    Fde fde;
    if (parse_fde(image, at, nullptr, fde) && fde.size) visit(context, fde.start, at);
  }
}

uintptr_t find_function(const Image& image, uintptr_t eh_frame_hdr, uintptr_t pc) {
  Fde fde;
  return find_fde(image, eh_frame_hdr, pc, nullptr, fde) ? fde.start : 0;
}

Row find_row(const Image& image, uintptr_t eh_frame_hdr, uintptr_t pc, RecentRuns* recent) {
  Fde fde;
  if (!find_fde(image, eh_frame_hdr, pc, recent, fde) || fde.cie.return_register != arch::kReturnAddressRegister)
    return {};
  auto row_of = [pc](CfaMachine& run) { return run.run_to(pc) ? run.row() : Row(); };
  if (!recent) {
    CfaMachine fresh(fde.cie, fde.start, fde.body);
    return row_of(fresh);
  }
  bool is_long = fde.body.end - fde.body.begin >= RecentRuns::kLongProgramBytes;
  CfaMachine& run = recent->place_of(fde.body);
  if (is_long && run.is_before(fde.body, pc)) return row_of(run);
  CfaMachine* known = recent->of_cie(fde.cie_address);
  CfaMachine& fresh = known ? *known : recent->set_cie(fde.cie_address, fde.cie);
  fresh.restart(fde.start, fde.body);
  return row_of(is_long ? run = fresh : fresh);
}

}  // namespace unfreed::unwind
