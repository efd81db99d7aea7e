// Which files are libraries that every program brings along.
#include "elf/runtime_library.h"

#include <gtest/gtest.h>

namespace unfreed::elf {
namespace {

TEST(RuntimeLibrary, IsKnownByItsFileName) {
  for (const char* name : {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "ld-2.31.so"})
    EXPECT_EQ(runtime_library(name), RuntimeLibrary::loader) << name;
  for (const char* name : {"libc.so.6", "libc-2.31.so", "libpthread.so.0", "libdl-2.31.so", "librt.so.1",
                           "linux-vdso.so.1", "ld-musl-x86_64.so.1"})
    EXPECT_EQ(runtime_library(name), RuntimeLibrary::libc) << name;
  EXPECT_EQ(runtime_library("libstdc++.so.6.0.30"), RuntimeLibrary::cxx);
  for (const char* name : {"libgcc_s.so.1", "libm.so.6", "libc++.so.1", "libc++abi.so.1"})
    EXPECT_EQ(runtime_library(name), RuntimeLibrary::other) << name;
}

TEST(RuntimeLibrary, IsNoneThatIsNamedAlike) {
  for (const char* name : {"", "libcurl.so.4", "libc-client.so.2007", "libmagic.so.1", "librtmp.so.1", "ldapsearch",
                           "libdlib.so.19", "libmount.so.1", "my_libc.so.6"})
    EXPECT_EQ(runtime_library(name), RuntimeLibrary::none) << name;
}

TEST(RuntimeLibrary, IsThisProductsForEitherLibc) {
  for (const char* name : {"libunfreed.so", "libunfreed-musl.so", "libunfreed.so (deleted)"})
    EXPECT_TRUE(is_own_library(name)) << name;
  for (const char* name : {"", "libc.so.6", "unfreed", "libunfreed_other.so"})
    EXPECT_FALSE(is_own_library(name)) << name;
}

}  // namespace
}  // namespace unfreed::elf
