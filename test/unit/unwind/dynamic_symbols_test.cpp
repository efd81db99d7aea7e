#include "unwind/dynamic_symbols.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include <cstdio>
#include <fstream>
#include <set>
#include <string>

#include "support/beside.h"
#include "unwind/moved_function.h"

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

TEST_F(Symbols, FindsTheDefaultVersionAsDlsymDoes) {
  void* libc = dlopen("libc.so.6", RTLD_NOW);
  const link_map& map = *static_cast<const link_map*>(libc);
  DynamicSymbols symbols(map);
  for (const char* name :
       {"realpath", "pthread_create", "posix_spawn", "quick_exit", "regexec", "open", "sys_errlist"}) {
    Definition found{&map, symbols.find_default(name)};
    EXPECT_EQ(found ? found.address() : 0, reinterpret_cast<uintptr_t>(dlsym(libc, name))) << name;
    if (!found) continue;
    EXPECT_EQ(symbols.find_version(name, symbols.version_of(found.symbol)), found.symbol) << name;
  }
}

TEST_F(Symbols, TellsWhatIsThereForOldProgramsOnly) {
  void* libc = dlopen("libc.so.6", RTLD_NOW);
  DynamicSymbols symbols(*static_cast<const link_map*>(libc));
  EXPECT_EQ(symbols.find_default("cfree"), nullptr);
  const ElfW(Sym)* old = symbols.find_compat("cfree");
  ASSERT_TRUE(old);
  EXPECT_STREQ(symbols.version_of(old), "GLIBC_2.2.5");
  EXPECT_EQ(symbols.find_version("cfree", "GLIBC_2.2.5"), old);
  EXPECT_EQ(symbols.find_version("cfree", "GLIBC_2.34"), nullptr);
  EXPECT_EQ(symbols.find_compat("open"), nullptr);
  EXPECT_NE(symbols.find_compat("pthread_create"), nullptr) << "GLIBC_2.2.5, beside the default one";
}

TEST_F(Symbols, SearchesObjectsInTheLoadersOrder) {
  for (const char* name : {"malloc", "open", "_dl_find_object", "_Znwm", "memcpy", "environ", "no_such_function"}) {
    Definition found = find_default(name, _r_debug.r_map);
    EXPECT_EQ(found ? found.chosen_address() : 0, reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, name))) << name;
  }
  EXPECT_FALSE(find_default("malloc", _r_debug.r_map, _r_debug.r_map));
  EXPECT_TRUE(find_default("memcpy", _r_debug.r_map).is_indirect());
  EXPECT_EQ(own_link_map(), _r_debug.r_map) << "the program that this is linked into";
}

TEST_F(Symbols, TellsWhatIsNeededOfWhom) {
  DynamicSymbols own(*own_link_map());
  size_t seen = 0;
  each_reference(*own_link_map(), [&](const ElfW(Rela) & relocation, uint32_t index) {
    if (std::string_view(own.name_of(own.symbol(index))) != "dlopen") return;
    ++seen;
    DynamicSymbols::Need need = own.need_of(&own.symbol(index));
    EXPECT_STREQ(need.object, "libc.so.6");
    EXPECT_STREQ(need.version, "GLIBC_2.34");
    EXPECT_EQ(*reinterpret_cast<uintptr_t*>(own_link_map()->l_addr + relocation.r_offset),
              reinterpret_cast<uintptr_t>(&dlopen));
  });
  EXPECT_GE(seen, 1u);
  EXPECT_NE(own.number_of_needed("GLIBC_2.34"), 0);
  EXPECT_EQ(own.number_of_needed("GLIBC_1.0"), 0);
}

TEST_F(Symbols, WhatIsNotInTheHashTableComesFirst) {
  // 0 is "unknown", for an object without such a table or that defines nothing.
  size_t known = 0;
  for (const link_map* map = _r_debug.r_map; map; map = map->l_next) {
    DynamicSymbols symbols(*map);
    uint32_t count = symbols.leading_symbols();
    if (!count) continue;
    ++known;
    each_reference(*map, [&](const ElfW(Rela)&, uint32_t index) {
      const ElfW(Sym)& symbol = symbols.symbol(index);
      if (symbol.st_shndx == SHN_UNDEF) {
        EXPECT_NE(index < count, symbols.find(symbols.name_of(symbol)) != nullptr) << symbols.name_of(symbol);
      } else {
        EXPECT_GE(index, count) << symbols.name_of(symbol);
      }
    });
  }
  EXPECT_GE(known, 2u);
}

TEST_F(Symbols, SegmentsAreThoseOfTheKernel) {
  Object object = object_at(dlsym(RTLD_DEFAULT, "qsort"));
  std::ifstream maps("/proc/self/maps");
  size_t seen = 0;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t low, high;
    char permissions[5];
    if (sscanf(line.c_str(), "%lx-%lx %4s", &low, &high, permissions) != 3) continue;
    if (low < object.image.low || high > object.image.high || line.find("libc.so.6") == line.npos) continue;
    Segment segment;
    ASSERT_TRUE(find_segment(object, low, segment)) << line;
    ++seen;
    EXPECT_EQ(segment.low, low) << line;
    EXPECT_GE(segment.high, high) << line;
    EXPECT_EQ(segment.protection, (permissions[0] == 'r' ? PROT_READ : 0) | (permissions[1] == 'w' ? PROT_WRITE : 0) |
                                      (permissions[2] == 'x' ? PROT_EXEC : 0))
        << line;
  }
  EXPECT_GE(seen, 5u) << "headers, code, constants, what is read only once it is relocated, variables";
  Segment none;
  EXPECT_FALSE(find_segment(object, object.image.low - 1, none));
}

// This program's own, which the loader finds before libc's.
extern "C" __attribute__((visibility("default"))) int pthread_attr_getstacksize(const pthread_attr_t*,
                                                                                size_t*) noexcept {
  return -1;
}

TEST_F(Symbols, OfLibcAreFoundInItsPartsOnly) {
  void* libc = dlopen("libc.so.6", RTLD_NOW);
  for (const char* name : {"pthread_key_create", "dladdr1", "pthread_attr_getstacksize"}) {
    Definition found = find_in_libc(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found.address(), reinterpret_cast<uintptr_t>(dlsym(libc, name))) << name;
  }
  EXPECT_FALSE(find_in_libc("no_such_function"));
  ASSERT_TRUE(find_default("_ZSt15get_new_handlerv", _r_debug.r_map));
  EXPECT_FALSE(find_in_libc("_ZSt15get_new_handlerv")) << "libstdc++ is no part of it";

  static constinit MovedFunction<int(const pthread_attr_t*, size_t*)> stack_size("pthread_attr_getstacksize");
  static constinit MovedFunction<int()> absent("no_such_function");
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  size_t bytes = 0;
  for (int time = 0; time < 2; ++time) {
    ASSERT_TRUE(stack_size.get());
    EXPECT_EQ(stack_size.get()(&attributes, &bytes), 0);
    EXPECT_EQ(absent.get(), nullptr);
  }
  EXPECT_GT(bytes, 0u);
  pthread_attr_destroy(&attributes);
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
