// What a descriptor was acquired with, as its record has it: read by the runtime and by reports.
#pragma once

#include <string_view>

#include "ledger/layout.h"

namespace unfreed::ledger {

/// The path that the descriptor with this serial was opened by, or its end; "" where it is not known.
inline std::string_view opened_path(const FdTarget& target, uint32_t serial) {
  bool is_path = target.serial.load(std::memory_order_acquire) == serial &&
                 target.form == static_cast<uint8_t>(FdTargetForm::path) && target.bytes <= sizeof target.value;
  return is_path ? std::string_view(target.value, target.bytes) : std::string_view();
}

/// Does this path belong where a standard stream's number is? /dev/null, or a terminal.
inline bool is_standard_path(std::string_view path) {
  return path == "/dev/null" || path == "/dev/console" || path.starts_with("/dev/tty") || path.starts_with("/dev/pts/");
}
inline bool leads_to_standard(const FdTarget& target, uint32_t serial) {
  return !target.cut && is_standard_path(opened_path(target, serial));
}

}  // namespace unfreed::ledger
