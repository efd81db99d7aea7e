#include "symbolize/demangle.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

namespace unfreed::symbolize {

namespace {
/// Longer names than this exist only in forged files; the demangler takes stack in proportion.
constexpr size_t kLongestName = 16 * 1024;

bool is_mangled(std::string_view name) { return name.starts_with("_Z") || name.starts_with("___Z"); }
}  // namespace

std::string_view without_clone_suffix(std::string_view linkage_name) {
  static constexpr std::string_view kSuffixes[] = {".constprop", ".isra",       ".part",  ".cold",    ".lto_priv",
                                                   ".llvm",      ".localalias", ".clone", ".resolver"};
  size_t end = linkage_name.size();
  for (std::string_view suffix : kSuffixes) {
    for (size_t at = linkage_name.find(suffix, 1); at != std::string_view::npos;
         at = linkage_name.find(suffix, at + 1)) {
      size_t after = at + suffix.size();
      bool whole = after == linkage_name.size() || linkage_name[after] == '.';
      if (whole && at < end) end = at;
    }
  }
  return linkage_name.substr(0, end);
}

std::string demangle(std::string_view linkage_name) {
  std::string plain(without_clone_suffix(linkage_name));
  if (!is_mangled(plain) || plain.size() > kLongestName) return plain;
  int status = -1;
  std::unique_ptr<char, decltype(&std::free)> readable(abi::__cxa_demangle(plain.c_str(), nullptr, nullptr, &status),
                                                       &std::free);
  return status == 0 && readable ? std::string(readable.get()) : plain;
}

}  // namespace unfreed::symbolize
