// Makes paths and other programs' texts fit for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace unfreed::render {

/// Shortens paths for a user with this working directory and home directory.
class PathShortener {
 public:
  PathShortener(std::string directory, std::string home);
  /// For this process: its working directory and $HOME.
  static PathShortener here();

  /// "src/log.c" under the directory, "~/work/log.c" under the home; the last parts of a long one: "…/lib/io/log.c".
  std::string shorten(std::string_view path) const;
  /// Does it lie under the directory?
  bool is_here(std::string_view path) const { return !directory_.empty() && path.starts_with(directory_); }

 private:
  std::string directory_;  ///< with a '/' at its end; "" none
  std::string home_;
};

std::string_view base_name(std::string_view path);

/// A text that is safe to show (base/printable.h). Reports hold other programs' arguments and file names, which must
/// not control the terminal, nor look like something else.
std::string printable(std::string_view text);

}  // namespace unfreed::render
