// Who keeps the blocks of a call site alive, in words.
// Internal to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "render/paths.h"
#include "render/places.h"

namespace unfreed::render {

struct RetentionPath {
  std::vector<std::string> steps;  ///< "variable g_sessions", "1 block from open_table (table.c:12)"
  uint64_t blocks;
  uint64_t bytes;
};

/// The paths from roots to the blocks of a place, those that keep most first. Texts are as in the report: not escaped.
std::vector<RetentionPath> list_retention(const Place& place, const PathShortener& paths);

}  // namespace unfreed::render
