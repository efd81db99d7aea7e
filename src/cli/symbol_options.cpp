#include "cli/symbol_options.h"

#include <algorithm>
#include <filesystem>

#include "symbolize/debuginfod.h"

namespace unfreed::cli {

void SymbolOptions::add_options(Parser& parser) {
  parser.value("--sysroot", "DIRECTORY", sysroot_,
               "where the files of the machine or container are on which the program ran; they are looked for in "
               "DIRECTORY first");
  parser.value(
      "--debug-path", "DIRECTORIES", debug_path_,
      "where debug information is: directories that have a .build-id directory, separated by ':'; searched before "
      "/usr/lib/debug");
}

symbolize::Options SymbolOptions::symbolizer() const {
  symbolize::Options options{.debug_directories = symbolize::kDebugDirectories,
                             .root = sysroot_,
                             .debuginfod_servers = symbolize::debuginfod_servers()};
  // A relative folder would be one beside each program.
  std::string given;
  for (size_t at = 0; at < debug_path_.size();) {
    size_t end = std::min(debug_path_.find(':', at), debug_path_.size());
    if (end > at) given += std::filesystem::absolute(debug_path_.substr(at, end - at)).string() + ":";
    at = end + 1;
  }
  options.debug_directories.insert(0, given);
  while (options.root.ends_with('/')) options.root.pop_back();
  return options;
}

}  // namespace unfreed::cli
