#include "unwind/dynamic_symbols.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <string.h>

#include <set>

#include "support/beside.h"

namespace unfreed::unwind {
namespace {

class Symbols : public testing::Test {
 protected:
  void SetUp() override { prepare_objects(); }

  static Object object_at(const void* address) {
    Object object;
    EXPECT_TRUE(find_object(reinterpret_cast<uintptr_t>(address), object));
    return object;
  }
  static uintptr_t address_of(const Object& object, const ElfW(Sym) * symbol) {
    return symbol ? object.bias + symbol->st_value : 0;
  }
};

TEST_F(Symbols, FindsWhatTheLoaderFinds) {
  void* libc = dlopen("libc.so.6", RTLD_NOW);
  Object object = object_at(dlsym(libc, "qsort"));
  DynamicSymbols symbols(object);
  for (const char* name : {"qsort", "malloc", "setenv", "on_exit", "__cxa_atexit", "getpwnam", "_IO_file_doallocate"}) {
    ASSERT_TRUE(dlsym(libc, name)) << name;
    EXPECT_EQ(address_of(object, symbols.find(name)), reinterpret_cast<uintptr_t>(dlsym(libc, name))) << name;
  }
  for (const char* name : {"", "q", "qsor", "qsort_", "no_such_function", "main"})
    EXPECT_EQ(symbols.find(name), nullptr) << name;
}

TEST_F(Symbols, FindsEveryVersion) {
  void* libc = dlopen("libc.so.6", RTLD_NOW);
  DynamicSymbols symbols(object_at(dlsym(libc, "qsort")));
  std::set<const void*> found;
  for (auto* symbol = symbols.find("realpath"); symbol; symbol = symbols.find("realpath", symbol)) found.insert(symbol);
  EXPECT_EQ(found.size(), 2u) << "GLIBC_2.2.5 and GLIBC_2.3";
  EXPECT_EQ(symbols.find("qsort", symbols.find("qsort")), nullptr);
}

TEST_F(Symbols, ReadsBothKindsOfHashTable) {
  for (const char* name : {"hash_gnu.so", "hash_sysv.so"}) {
    void* library = dlopen(test::beside_this_test(name).c_str(), RTLD_NOW);
    ASSERT_TRUE(library) << dlerror();
    void* function = dlsym(library, "call_back");
    Object object = object_at(function);
    DynamicSymbols symbols(object);
    EXPECT_EQ(address_of(object, symbols.find("call_back")), reinterpret_cast<uintptr_t>(function)) << name;
    EXPECT_EQ(symbols.find("call_back", symbols.find("call_back")), nullptr) << name;
    EXPECT_EQ(symbols.find("call_bac"), nullptr) << name;
    dlclose(library);
  }
}

TEST_F(Symbols, OfTheVdso) {
  // Its dynamic section is not writable, so that the loader cannot have changed it.
  uintptr_t vdso = 0;
  for (const link_map* map = _r_debug.r_map; map; map = map->l_next)
    if (strstr(map->l_name, "vdso")) vdso = map->l_addr;
  if (!vdso) GTEST_SKIP() << "there is no vDSO";
  Object object = object_at(reinterpret_cast<const void*>(vdso + 64));
  EXPECT_NE(address_of(object, DynamicSymbols(object).find("__vdso_clock_gettime")), 0u);
}

}  // namespace
}  // namespace unfreed::unwind
