// The formats of `unfreed report`, from renderers.inc.
#pragma once

#include <span>
#include <string>

#include "report/report.h"

namespace unfreed::render {

struct RenderOptions {
  bool colour = false;
  bool show_suppressed = false;  ///< of text: what suppressions cover, and which
};

struct Renderer {
  const char* name;
  std::string (*render)(const report::Report& report, const RenderOptions& options);
  bool takes_several;  ///< one report after another makes sense
  const char* what;
};
std::span<const Renderer> renderers();

#define RENDERER(name, function, several, what) \
  std::string function(const report::Report& report, const RenderOptions& options);
#include "render/renderers.inc"
#undef RENDERER

}  // namespace unfreed::render
