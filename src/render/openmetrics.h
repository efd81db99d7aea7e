// Numbers of processes and of their call sites as OpenMetrics (https://openmetrics.io), which Prometheus scrapes and
// node_exporter's textfile collector reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "render/source_root.h"
#include "report/report.h"

namespace unfreed::render {

/// Collects reports one after the other: none of them is needed any more once it was added. The lines of each metric
/// stand together on the page, whichever report they are of.
class MetricsPage {
 public:
  explicit MetricsPage(SourceRoot root);
  void add(const report::Report& report);
  /// A process that has no report.
  void add_unread(std::string_view program, int64_t pid);
  std::string text() const;

 private:
  std::string labels_of(std::string_view program, int64_t pid);
  void add_complete(const std::string& labels, bool is_complete);

  SourceRoot root_;
  std::map<std::string, size_t> seen_;  ///< how many reports had these labels
  std::string complete_;
  std::vector<std::string> totals_;  ///< by metric
  std::vector<std::string> places_;
};

}  // namespace unfreed::render
