#include "trace/called_functions.h"

#include <gtest/gtest.h>

#include <span>
#include <vector>

namespace unfreed::trace {
namespace {

constexpr uintptr_t kStart = 0x401000;

/// Code that begins at kStart.
struct Written {
  std::vector<uint8_t> bytes;
  Code code() const { return {std::as_bytes(std::span(bytes)), kStart}; }
};

TEST(Code, TheTargetOfACallIsFoundFromItsReturnAddress) {
  Written one{{0x90, 0xe8, 0x10, 0x00, 0x00, 0x00, 0x90}};  // call to 16 bytes behind it
  EXPECT_EQ(one.code().call_target(kStart + 6), kStart + 6 + 16);
  EXPECT_EQ(one.code().call_target(kStart + 5), 0u) << "no call ends there";
  EXPECT_EQ(one.code().call_target(kStart + 3), 0u) << "the call would begin before the code";
  EXPECT_EQ(one.code().call_target(kStart + 4096), 0u);
  Written back{{0xe8, 0xfb, 0xff, 0xff, 0xff}};
  EXPECT_EQ(back.code().call_target(kStart + 5), kStart);
}

TEST(Code, AnEntryOfTheLinkageTableIsRecognised) {
  Written plain{{0xff, 0x25, 0x20, 0x00, 0x00, 0x00}};
  EXPECT_EQ(plain.code().entry_slot(kStart), kStart + 6 + 0x20);
  Written marked{{0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0x20, 0x00, 0x00, 0x00}};
  EXPECT_EQ(marked.code().entry_slot(kStart), kStart + 11 + 0x20);
  EXPECT_EQ(marked.code().entry_slot(kStart + 1), 0u);
  Written cut{{0xff, 0x25, 0x20, 0x00}};
  EXPECT_EQ(cut.code().entry_slot(kStart), 0u) << "it ends with the code";
}

}  // namespace
}  // namespace unfreed::trace
