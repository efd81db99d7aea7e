// The exit statuses of unfreed's own, from exit_statuses.inc.
#pragma once

namespace unfreed::report {

namespace exit_status {
#define EXIT_STATUS(name, number, meaning) inline constexpr int name = number;
#include "settings/exit_statuses.inc"
#undef EXIT_STATUS
}  // namespace exit_status

}  // namespace unfreed::report
