// Lines of source files that a report names, where the files are on this machine.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace unfreed::render {

class SourceTexts {
 public:
  /// `folder`: files that are not where the report says are looked for there, by the longest end of their path; "":
  /// nowhere else.
  explicit SourceTexts(std::string folder = {}) : folder_(std::move(folder)) {}

  struct File {
    std::vector<std::string> lines;
    uint64_t changed_s = 0;  ///< when it was last changed, in seconds since 1970
  };
  /// nullptr: there is no such file, it is no regular file, or very large. Valid as long as this object.
  const File* find(std::string_view path);

 private:
  static std::optional<File> read(const std::string& path);

  std::string folder_;
  std::map<std::string, std::optional<File>, std::less<>> files_;
};

}  // namespace unfreed::render
