// What the parts of the text summary share, and the parts that have files of their own.
// Internal to this folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "render/text.h"

namespace unfreed::render {

enum class Tint : uint8_t { bold, red, green, yellow, faint };
std::string tinted(std::string_view text, Tint tint, bool colour);

std::string join(const std::vector<std::string>& parts, std::string_view between);

/// The frames worth showing, a line each.
std::string render_frames(const std::vector<Frame>& stack, const std::string& exe, const TextOptions& options,
                          std::string_view indent);

/// Threads that keep something from being released, with where they stand.
std::string render_threads(const Report& report, const TextOptions& options);
/// Descriptors closed by who had no right to.
std::string render_misuse(const Report& report, const TextOptions& options);
/// Descriptors that went along into other programs.
std::string render_crossings(const Report& report, const TextOptions& options);

}  // namespace unfreed::render
