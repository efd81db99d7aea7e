// Names source files as the tools of a repository know them: relative to its folder.
#pragma once

#include <string>
#include <string_view>

namespace unfreed::render {

class SourceRoot {
 public:
  explicit SourceRoot(const std::string& folder);
  /// The folder of the job's checkout if a CI names it (GITHUB_WORKSPACE, CI_PROJECT_DIR) and this is in it; else the
  /// whole Git working tree around the working directory; else the working directory.
  static SourceRoot here();

  /// Without a '/' at its end.
  const std::string& folder() const { return folder_; }
  /// "src/log.c"; "" if the file is not below the folder.
  std::string relative(std::string_view file) const;
  /// relative(), or the whole path, without "." and "..".
  std::string name(std::string_view file) const;

 private:
  std::string folder_;
};

}  // namespace unfreed::render
