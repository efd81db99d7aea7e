#include "cli/suppression_files.h"

#include <fmt/format.h>

#include "cli/text_file.h"
#include "settings/settings.h"

namespace unfreed::cli {

namespace {
bool read_one(const std::string& path, NamedBy named_by, std::string& text, std::string& error) {
  if (named_by == NamedBy::user) return read_input_file(path, report::kMostSuppressionBytes, text, error);
  if (path.starts_with('/')) return read_regular_file(path, report::kMostSuppressionBytes, text, error);
  error = report::kWithoutFolder;
  return false;
}
}  // namespace

bool SuppressionFiles::read(std::string_view files, NamedBy named_by, std::string& error) {
  while (!files.empty()) {
    size_t end = std::min(files.find(':'), files.size());
    std::string path(files.substr(0, end));
    files.remove_prefix(std::min(end + 1, files.size()));
    if (path.empty()) continue;
    std::string text;
    if (!read_one(path, named_by, text, error)) {
      error = fmt::format("suppression file {} cannot be read: {}", path, error);
      return false;
    }
    texts_.push_back(std::move(text));
    size_t count = all_.size();
    all_.resize(report::kMaxSuppressions);
    report::ParseError problem;
    size_t line = 0;
    bool fine = report::parse_suppressions(texts_.back(), all_, count, problem, line);
    all_.resize(count);
    if (!fine) {
      error = fmt::format("suppression file {}, line {}: {}", path, line, problem.message ? problem.message : "?");
      return false;
    }
  }
  return true;
}

}  // namespace unfreed::cli
