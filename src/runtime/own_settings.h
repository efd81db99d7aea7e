// The settings that the process was started with, in memory that no other process shares. What its reports do (where
// they go, by which rules, with which status) comes from here: a ledger is shared memory, and says nothing about it.
#pragma once

#include <string_view>

#include "settings/settings.h"

namespace unfreed::runtime {

/// All texts, also those in `given`, are NUL-terminated. Output and suppressions are absolute; output is "" where its
/// folder cannot be named.
struct OwnSettings : report::Settings {
  std::string_view program;  ///< what %e stands for

  bool has_rules() const { return rules.count > 0; }
};
extern OwnSettings g_settings;

/// At the start. Copies all texts, as programs overwrite their environment. False: there is no memory.
bool keep_settings(const report::Settings& settings, std::string_view program, std::string_view working_directory);

}  // namespace unfreed::runtime
