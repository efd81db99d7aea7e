#include "render/renderers.h"

namespace unfreed::render {

namespace {
constexpr Renderer kRenderers[] = {
#define RENDERER(name, function, several, what) {#name, function, several, what},
#include "render/renderers.inc"
#undef RENDERER
};
}  // namespace

std::span<const Renderer> renderers() { return kRenderers; }

}  // namespace unfreed::render
