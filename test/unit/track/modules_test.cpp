// The ledger's table of loaded objects.
#include "track/modules.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>

#include <filesystem>
#include <string>

#include "support/scratch_folder.h"
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

class RelativeModulesTest : public test::ScratchFolder {
 protected:
  void SetUp() override {
    ScratchFolder::SetUp();
    before_ = std::filesystem::current_path();
    for (const char* folder : {"began", "now"}) std::filesystem::create_directory(path(folder));
    start_in("");
  }
  void TearDown() override {
    std::filesystem::current_path(before_);
    process_.header().directory = {};
    ScratchFolder::TearDown();
  }
  void start_in(const std::string& folder) { process_.header().directory = g_tracker.writer.add_text(folder); }
  void put(const std::string& folder, const char* name) {
    Library original("libanl.so.1");
    unwind::Object object{};
    ASSERT_TRUE(original.describe(object));
    std::filesystem::copy_file(object.name, path(folder + "/" + name));
  }
  /// The name that a library gets which is loaded by the relative one while the process is in `folder`.
  std::string named(const std::string& folder, const char* relative) {
    std::filesystem::current_path(path(folder));
    Library library(relative);
    unwind::Object object{};
    EXPECT_TRUE(library.describe(object)) << relative;
    ledger::View view = process_.view();
    return std::string(view.text(view.module(module_number(object))->path));
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  std::filesystem::path before_;
};

TEST_F(RelativeModulesTest, OneThatIsFoundWhereTheProcessIsNowIsNamedByThatFolder) {
  put("now", "one.so");
  EXPECT_EQ(named("now", "./one.so"), path("now") + "/one.so");
  start_in(path("began"));
  put("now", "two.so");
  EXPECT_EQ(named("now", "./two.so"), path("now") + "/two.so") << "it is not where the process began";
}

TEST_F(RelativeModulesTest, WhereTheProcessBeganIsLookedAtFirst) {
  start_in(path("began"));
  put("began", "three.so");
  put("now", "three.so");
  EXPECT_EQ(named("now", "./three.so"), path("began") + "/three.so");
}

TEST_F(RelativeModulesTest, OneThatIsGoneKeepsItsName) {
  put("now", "four.so");
  std::filesystem::current_path(path("now"));
  Library library("./four.so");
  std::filesystem::remove("four.so");
  unwind::Object object{};
  ASSERT_TRUE(library.describe(object));
  ledger::View view = process_.view();
  EXPECT_EQ(view.text(view.module(module_number(object))->path), "./four.so");
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
  unwind::Object cxx{};
  ASSERT_TRUE(unwind::find_object(reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "_ZSt9terminatev")), cxx));
  uint32_t of_cxx = module_number(cxx);
  EXPECT_TRUE(is_cxx_module(of_cxx));
  for (uint32_t number : {of_libc, of_program, 0u}) EXPECT_FALSE(is_cxx_module(number));
  ledger::View view = process_.view();
  EXPECT_TRUE(view.module(of_program)->flags & ledger::kModuleMain);
  EXPECT_TRUE(view.module(of_program)->flags & ledger::kModuleRuntime) << "whose code is linked into this test";
  EXPECT_FALSE(view.module(of_libc)->flags & (ledger::kModuleMain | ledger::kModuleRuntime));
}

}  // namespace
}  // namespace unfreed::track
