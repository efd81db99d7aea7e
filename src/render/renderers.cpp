#include "render/renderers.h"

namespace unfreed::render {

namespace {
constexpr Renderer kRenderers[] = {
#define RENDERER(name, function, holds, what) {#name, function, Holds::holds, what},
#include "render/renderers.inc"
#undef RENDERER
};
}  // namespace

std::span<const Renderer> renderers() { return kRenderers; }

const Renderer* find_renderer(std::string_view name) {
  for (const Renderer& one : kRenderers)
    if (one.name == name) return &one;
  return nullptr;
}

}  // namespace unfreed::render
