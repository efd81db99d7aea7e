#include "unwind/call_target.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "support/beside.h"
#include "unwind/objects.h"

extern "C" [[gnu::noinline]] void* where_called() { return __builtin_return_address(0); }

namespace unfreed::unwind {
namespace {

class CallTarget : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { prepare_objects(); }

  static uintptr_t target_of(void* return_address) { return call_target(reinterpret_cast<uintptr_t>(return_address)); }
  static uintptr_t here() { return reinterpret_cast<uintptr_t>(&where_called); }
};

TEST_F(CallTarget, OfDirectCalls) { EXPECT_EQ(target_of(where_called()), here()); }

TEST_P(CallTarget, OfAnotherObjectsCalls) {
  void* module = dlopen(test::beside_this_test(GetParam()).c_str(), RTLD_LAZY);
  ASSERT_TRUE(module) << dlerror();
  auto* by_name = reinterpret_cast<void* (*)()>(dlsym(module, "call_by_name"));
  EXPECT_EQ(target_of(by_name()), here());
  auto* by_variable = reinterpret_cast<void* (*)()>(dlsym(module, "call_by_variable"));
  EXPECT_EQ(target_of(by_variable()), here());
  auto* by_pointer = reinterpret_cast<void* (*)(void* (*)())>(dlsym(module, "call_by_pointer"));
  EXPECT_EQ(target_of(by_pointer(where_called)), 0u);
  dlclose(module);
}

INSTANTIATE_TEST_SUITE_P(Modules, CallTarget,
                         testing::Values("calls_lazily.so", "calls_bound.so", "calls_without_plt.so",
                                         "calls_with_endbr.so"));

TEST_F(CallTarget, OfWhateverStandsInCode) {
  // Nothing may be read that is not there: every place of libc's code as if a call ended at it, and both ends of it.
  Object libc;
  ASSERT_TRUE(find_object(reinterpret_cast<uintptr_t>(dlsym(RTLD_NEXT, "qsort")), libc));
  uintptr_t sum = 0;
  for (uintptr_t place = libc.image.low + 8; place < libc.image.high; ++place)
    if (is_readable(libc, place - 8, 8)) sum += call_target(place);
  EXPECT_NE(sum, 0u);
  EXPECT_EQ(call_target(libc.image.low), 0u);
  EXPECT_EQ(call_target(8), 0u);
}

}  // namespace
}  // namespace unfreed::unwind
