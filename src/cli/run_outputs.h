// `unfreed run --write FORMAT=FILE`: when the run is over, its reports once more, as one text for other tools.
#pragma once

#include <string>
#include <vector>

#include "render/renderers.h"
#include "symbolize/symbolizer.h"

namespace unfreed::cli {

struct RunOutput {
  const render::Renderer* renderer = nullptr;
  std::string path;
  bool appends = false;  ///< FORMAT+=FILE
};

/// "junit=leaks.xml". False: `error` says what is accepted.
bool parse_run_output(const std::string& text, RunOutput& output, std::string& error);

/// Writes all `outputs` from the JSON reports in `paths`. False: one could not be written, and a line has said why.
bool write_run_outputs(const std::vector<RunOutput>& outputs, const std::vector<std::string>& paths,
                       symbolize::Symbolizer& symbolizer);

}  // namespace unfreed::cli
