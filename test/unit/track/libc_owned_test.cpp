#include "track/libc_owned.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace unfreed::track {
namespace {

TEST(LibcOwned, NamesWhatLibcExports) {
  // A name that libc does not export is never found again on a stack.
  void* libc = dlopen("libc.so.6", RTLD_NOW);
  std::set<std::string> seen;
  for (std::string_view name : libc_caching_functions()) {
    EXPECT_TRUE(seen.emplace(name).second) << name << " stands there twice";
    EXPECT_NE(dlsym(libc, std::string(name).c_str()), nullptr) << name;
  }
}

TEST(LibcOwned, DoesNotNameWhatGivesBlocksToItsCaller) {
  std::set<std::string_view> names(libc_caching_functions().begin(), libc_caching_functions().end());
  for (const char* giver : {"strdup",         "strndup",
                            "asprintf",       "vasprintf",
                            "getline",        "getdelim",
                            "getaddrinfo",    "scandir",
                            "glob",           "wordexp",
                            "realpath",       "getcwd",
                            "open_memstream", "fclose",
                            "fputs",          "fprintf",
                            "fwprintf",       "sscanf",
                            "swscanf",        "newlocale",
                            "duplocale",      "iconv_open",
                            "regcomp",        "tsearch",
                            "hcreate_r",      "backtrace_symbols",
                            "timer_create",   "getifaddrs",
                            "if_nameindex",   "reallocarray"})
    EXPECT_FALSE(names.contains(giver)) << giver;
}

}  // namespace
}  // namespace unfreed::track
