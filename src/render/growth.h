// Does a number grow for good? From looks at it, taken at about equal distances:
//
//     leak             cache              pool, sawtooth       a leak below a sawtooth
//          ╱           ╭─────             ╱╲╱╲╱╲╱╲                  ╱╲╱
//       ╱              │                                         ╱╲╱
//     ╱               ╱                                       ╱╲╱
//     grows            levels_off         steady               grows
//
//  1. The first fifth of the looks is left out: a program that starts acquires what it needs.
//  2. The rest is cut into twelve windows, and the lowest of each is taken, its floor: what is acquired and released in
//     turn does not raise that. A window must be longer than the turn.
//  3. The floors must rise by the test of Mann (Econometrica 13, 1945) and Kendall (Rank Correlation Methods, 1975),
//     with ties, at 1 %; their slope is that of Theil (1950) and Sen (JASA 63, 1968), the median of the slopes between
//     any two, with Sen's confidence interval. Neither minds outliers or the shape of the noise.
//  4. A trend alone also has what fills up or steps once. Growth goes on: there must be several rises, none of which is
//     most of it all; the last of them not long ago; no fall by half of it all; and the last third must rise by at
//     least half as much as the third before.
#pragma once

#include <cstdint>
#include <vector>

#include "report/report.h"

namespace unfreed::render {

struct Look {
  uint64_t at_ns = 0;
  uint64_t value = 0;
};

/// `looks`: all that there were at the process, in order.
report::Growth judge_growth(const std::vector<Look>& looks);

/// How much more there is in the last third of the looks than in the first, by their medians.
double shift_of(const std::vector<Look>& looks);

}  // namespace unfreed::render
