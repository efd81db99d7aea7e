// The orders in which the lists of `unfreed top` can be sorted.
// Internal to this folder.
#pragma once

#include <span>

#include "render/top_model.h"

namespace unfreed::render {

using ProcessRow = const TopProcessRow*;

struct ProcessOrder {
  const char* name;
  bool (*comes_first)(ProcessRow left, ProcessRow right);
};
std::span<const ProcessOrder> process_orders();

struct SiteOrder {
  const char* name;
  double (*number)(const TopSiteRow& row);  ///< nullptr: as the report has them, the worst first
};
/// The first is for who has not chosen. Where nothing grows, the worst comes first.
std::span<const SiteOrder> site_orders();
/// Of the oldest that it holds, in nanoseconds; 0: not known.
uint64_t age_of(const TopSiteRow& row);

}  // namespace unfreed::render
