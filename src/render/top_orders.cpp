#include "render/top_orders.h"

#include "render/selection.h"

namespace unfreed::render {

namespace {

template <size_t kind>
bool has_more(ProcessRow left, ProcessRow right) {
  return left->kinds[kind].value() > right->kinds[kind].value();
}
template <size_t kind>
bool grows_more(ProcessRow left, ProcessRow right) {
  return left->kinds[kind].growth() > right->kinds[kind].growth();
}
constexpr ProcessOrder kProcessOrders[] = {
    {"pid", [](ProcessRow left, ProcessRow right) { return left->last.pid < right->last.pid; }},
    {"descriptors", has_more<kFd>},
    {"growth of descriptors", grows_more<kFd>},
    {"heap", has_more<kHeap>},
    {"growth of heap", grows_more<kHeap>},
    {"threads", has_more<kThread>},
    {"running time", [](ProcessRow left, ProcessRow right) { return left->last.running_ns > right->last.running_ns; }},
};

/// Of different kinds: a page of heap weighs as much as one of anything else.
double weight(double number, ledger::Kind kind) {
  constexpr double kPageBytes = 4096;
  return kind == ledger::Kind::heap ? number / kPageBytes : number;
}
double weight_of_growth(const TopSiteRow& row) {
  return weight(static_cast<double>(row.tally.growth()), row.place.site->kind);
}
double weight_of_rate(const TopSiteRow& row) {
  return weight(row.tally.per_second().value_or(0), row.place.site->kind);
}

/// As `unfreed report --sort` has it.
template <size_t order>
double number_of_order(const TopSiteRow& row) {
  return static_cast<double>(orders()[order].number(*row.place.report, row.place));
}
constexpr SiteOrder kSiteOrders[] = {
    {"growth", weight_of_growth},
    {"rate", weight_of_rate},
    {"the worst", nullptr},
    {"live", number_of_order<0>},
    {"bytes", number_of_order<1>},
    {"age", number_of_order<2>},
    {"acquired in all", number_of_order<4>},
};

}  // namespace

std::span<const ProcessOrder> process_orders() { return kProcessOrders; }
std::span<const SiteOrder> site_orders() { return kSiteOrders; }

uint64_t age_of(const TopSiteRow& row) { return static_cast<uint64_t>(number_of_order<2>(row)); }

}  // namespace unfreed::render
