// Why a program cannot be tracked.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::elf {

/// The numbers are part of the ledger's format.
enum class Obstacle : uint8_t {
  none = 0,
  static_program = 1,
  static_go = 2,
  musl = 3,
  foreign_loader = 4,
  other_processor = 5,
  set_uid = 6,
  set_gid = 7,
  capabilities = 8,
  sanitizer_first = 9,  ///< its sanitizer must be the first library, but another is
  no_preload = 10,      ///< the environment it is started with does not name the runtime
  no_session = 11,      ///< the environment names the runtime, but not the run that it belongs to
  changed_ids = 12,     ///< started by a process whose effective and real ids differ
  unreachable = 13,     ///< the runtime's file cannot be found or read where it runs
  no_ledger = 14,       ///< there was no room for its ledger
  no_tracer = 15,       ///< traced, but its tracer was killed, or gave up
  apart = 16,           ///< its ledger is not where the launcher looks for it
};

/// One clause that completes "X is not tracked: ".
std::string_view describe(Obstacle obstacle);

}  // namespace unfreed::elf
