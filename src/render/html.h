// A report as one page that needs nothing else: no scripts from elsewhere, no fonts, no pictures.
#pragma once

#include <string>

#include "report/report.h"

namespace unfreed::render {

std::string render_html(const report::Report& report);

}  // namespace unfreed::render
