// A report as JSON, in memory. (The writer itself is report/json_writer.h.)
#pragma once

#include <string>

#include "report/json_writer.h"
#include "report/report.h"

namespace unfreed::render {

std::string write_json(const report::Report& report, report::StackForm form);

}  // namespace unfreed::render
