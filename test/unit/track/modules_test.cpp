// The ledger's table of loaded objects.
#include "track/modules.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>

#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

using ledger::SectionId;

/// A library of glibc's that nothing needs.
class Library {
 public:
  explicit Library(const char* name) : handle_(dlopen(name, RTLD_NOW)) {}
  ~Library() {
    if (handle_) dlclose(handle_);
    forget_modules();
  }
  /// The object as the loader describes it.
  bool describe(unwind::Object& out) const {
    return handle_ && unwind::find_object(reinterpret_cast<uintptr_t>(static_cast<link_map*>(handle_)->l_ld), out);
  }

 private:
  void* handle_;
};

class ModulesTest : public ::testing::Test {
 protected:
  uint64_t dropped() { return process_.header().dropped[static_cast<size_t>(ledger::Dropped::modules_full)].load(); }
  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(ModulesTest, AnObjectHasOneNumberAlsoWhenItIsLoadedAgain) {
  uint32_t number = 0;
  for (int i = 0; i < 2; ++i) {
    Library library("libanl.so.1");
    unwind::Object object{};
    ASSERT_TRUE(library.describe(object));
    uint32_t now = module_number(object);
    EXPECT_NE(now, 0u);
    EXPECT_EQ(module_number(object), now);
    EXPECT_TRUE(number == 0 || number == now);
    number = now;
    ledger::View view = process_.view();
    std::string_view path = view.text(view.module(number)->path);
    EXPECT_TRUE(path.ends_with("/libanl.so.1")) << path;
    EXPECT_FALSE(is_libc_module(number));
  }
}

TEST_F(ModulesTest, WithoutRoomAnObjectHasNoNumberWhichIsCounted) {
  ledger::Section& section = process_.header().sections[static_cast<size_t>(SectionId::modules)];
  Library library("libutil.so.1");
  unwind::Object object{};
  ASSERT_TRUE(library.describe(object));
  uint64_t room = section.capacity, before = dropped();
  section.capacity = section.count;
  EXPECT_EQ(module_number(object), 0u);
  EXPECT_EQ(dropped(), before + 1);
  section.capacity = room;
  EXPECT_NE(module_number(object), 0u);
  EXPECT_EQ(dropped(), before + 1);
}

TEST_F(ModulesTest, LibcAndTheProgramAreToldApart) {
  unwind::Object libc{}, program{};
  ASSERT_TRUE(unwind::find_object(reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "gnu_get_libc_version")), libc));
  ASSERT_TRUE(unwind::find_object(reinterpret_cast<uintptr_t>(&module_number), program));
  uint32_t of_libc = module_number(libc), of_program = module_number(program);
  EXPECT_TRUE(is_libc_module(of_libc));
  EXPECT_TRUE(is_system_module(of_libc));
  EXPECT_FALSE(is_loader_module(of_libc));
  EXPECT_FALSE(is_libc_module(of_program));
  EXPECT_FALSE(is_system_module(of_program));
  ledger::View view = process_.view();
  EXPECT_TRUE(view.module(of_program)->flags & ledger::kModuleMain);
  EXPECT_TRUE(view.module(of_program)->flags & ledger::kModuleRuntime) << "whose code is linked into this test";
  EXPECT_FALSE(view.module(of_libc)->flags & (ledger::kModuleMain | ledger::kModuleRuntime));
}

}  // namespace
}  // namespace unfreed::track
