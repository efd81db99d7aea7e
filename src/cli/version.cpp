#include "cli/version.h"

#include <elfutils/version.h>
#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <google/protobuf/stubs/common.h>
#include <zlib.h>
#include <CLI/Version.hpp>

#include <nlohmann/json.hpp>

#include "symbolize/libdw.h"

namespace unfreed::cli {

namespace {

#ifdef UNFREED_COMMIT  // by scripts/release, without quotes
#define AS_TEXT_OF(words) #words
#define AS_TEXT(macro) AS_TEXT_OF(macro)
constexpr const char* kCommit = "commit " AS_TEXT(UNFREED_COMMIT);
#else
constexpr const char* kCommit = "not a release: built from a working copy";
#endif

#ifdef __clang__
constexpr const char* kCompiler = "clang++ " __clang_version__;
#else
constexpr const char* kCompiler = "g++ " __VERSION__;
#endif

/// `number`: of a version's parts, each in as many decimal places as `base` has zeros.
std::string version(unsigned long number, unsigned long base) {
  return fmt::format("{}.{}.{}", number / base / base, number / base % base, number % base);
}

std::string c_library() {
  std::string built = fmt::format("glibc {}.{}", __GLIBC__, __GLIBC_MINOR__);
  if (symbolize::kIsLibdwLinked) return built + " (all libraries are linked in)";
  std::string running = gnu_get_libc_version();
  return built == "glibc " + running ? built : built + fmt::format(" (runs with {})", running);
}

}  // namespace

std::string version_text() {
  return fmt::format(
      "unfreed {}\n{}\nbuilt with {} and {}\n"
      "and CLI11 {}, fmt {}, nlohmann_json {}.{}.{}, protobuf {}, zlib {}, elfutils {}{}\n",
      UNFREED_VERSION, kCommit, kCompiler, c_library(), CLI11_VERSION, version(FMT_VERSION, 100),
      NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH,
      version(GOOGLE_PROTOBUF_VERSION, 1000), ZLIB_VERSION, fmt::format("0.{}", _ELFUTILS_VERSION),
      symbolize::kIsLibdwLinked ? "" : " (loaded when it is needed)");
}

}  // namespace unfreed::cli
