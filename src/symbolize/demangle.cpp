#include "symbolize/demangle.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

#include "report/demangle.h"

namespace unfreed::symbolize {

namespace {
/// Longer names than this exist only in forged files; the demangler takes stack in proportion.
constexpr size_t kLongestName = 16 * 1024;

bool is_mangled(std::string_view name) { return name.starts_with("_Z") || name.starts_with("___Z"); }
}  // namespace

std::string demangle(std::string_view linkage_name) {
  std::string plain(report::without_clone_suffix(linkage_name));
  if (!is_mangled(plain) || plain.size() > kLongestName) return plain;
  int status = -1;
  std::unique_ptr<char, decltype(&std::free)> readable(abi::__cxa_demangle(plain.c_str(), nullptr, nullptr, &status),
                                                       &std::free);
  return status == 0 && readable ? std::string(readable.get()) : plain;
}

}  // namespace unfreed::symbolize
