// How much of each kind a process holds, in words.
// Internal to this folder.
#pragma once

#include <string>
#include <string_view>

#include "report/report.h"

namespace unfreed::render {

/// What is held of a kind: a child that is still held is a zombie.
std::string_view noun_of(ledger::Kind kind);
/// "3 held, of 4 acquired; peak 7": how much of a kind.
std::string describe_totals(report::Subject subject, const report::Totals& totals, const report::Report& report);
/// A line for each kind.
std::string render_totals(const report::Report& report);

}  // namespace unfreed::render
