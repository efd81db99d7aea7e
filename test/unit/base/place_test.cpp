// Where names lead, and where they are not followed.
#include "base/place.h"

#include "base/syscall.h"
#include "support/scratch_folder.h"

namespace unfreed::base {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

class Places : public test::ScratchFolder {
 protected:
  /// "folder/name" as the kernel knows it, or "-> descriptor", or what is wrong.
  std::string find(const std::string& name) {
    Place place;
    static char scratch[kPlaceScratchBytes];
    FileProblem problem = find_place(name, scratch, place);
    is_followed_ = place.is_followed;
    if (problem) {
      EXPECT_LT(place.folder, 0);
      FixedText<128> why;
      add_problem(why, problem);
      return std::string(why.text());
    }
    if (place.descriptor >= 0) return "-> " + std::to_string(place.descriptor);
    std::string folder = fs::read_symlink("/proc/self/fd/" + std::to_string(place.folder));
    close_file(place.folder);
    return folder + "/" + place.name;
  }
  void link(const std::string& to, const std::string& name) { fs::create_symlink(to, folder_ / name); }

  bool is_followed_ = false;
};

TEST_F(Places, AreEntriesOfFolders) {
  fs::create_directories(folder_ / "a/b");
  EXPECT_EQ(find(path("report")), path("report")) << "it need not be there";
  EXPECT_EQ(find(path("a//./b/../b///report")), path("a/b/report"));
  EXPECT_FALSE(is_followed_);
  EXPECT_EQ(find(path("a/missing/report")), "No such file or directory");
  write("file", "");
  EXPECT_EQ(find(path("file/report")), "Not a directory");
  for (const char* folder : {"a/", "a/b/..", "a/.", "a//"}) EXPECT_EQ(find(path(folder)), "Is a directory") << folder;
  EXPECT_EQ(find("/"), "Is a directory");
  EXPECT_EQ(find(""), "No such file or directory");
  EXPECT_EQ(find("/" + std::string(300, 'x')), "File name too long");
  EXPECT_EQ(find(std::string(5000, '/')), "File name too long");
}

TEST_F(Places, AreFoundFromTheWorkingDirectory) {
  fs::path before = fs::current_path();
  fs::current_path(folder_);
  EXPECT_EQ(find("report"), path("report"));
  fs::create_directory(folder_ / "gone");
  fs::current_path(folder_ / "gone");
  fs::remove(folder_ / "gone");
  EXPECT_EQ(find("report"), "the working directory has been deleted");
  EXPECT_EQ(find("../report"), "the working directory has been deleted");
  fs::current_path(before);
}

TEST_F(Places, AreWhatLinksLeadTo) {
  fs::create_directories(folder_ / "far/away");
  link("far/away", "folder");
  link("folder/target", "link");
  link(path("link"), "second");
  link("missing", "dangling");
  link("../second", "far/back");
  EXPECT_EQ(find(path("folder/report")), path("far/away/report"));
  EXPECT_FALSE(is_followed_) << "not the last one";
  for (const char* name : {"link", "second", "far/back"}) {
    EXPECT_EQ(find(path(name)), path("far/away/target")) << name;
    EXPECT_TRUE(is_followed_);
  }
  EXPECT_EQ(find(path("dangling")), path("missing"));
  link("far/", "slash");
  EXPECT_EQ(find(path("slash")), "Is a directory");
  link("circle", "circle");
  EXPECT_EQ(find(path("circle")), "Too many levels of symbolic links");
  link("growing/x", "growing");
  EXPECT_EQ(find(path("growing")), "Too many levels of symbolic links");
  // Each adds as much as a name may have: it ends all the same.
  std::string wide(255, 'w');
  link(wide + "/" + wide + "/" + wide + "/../../../wide", "wide");
  fs::create_directories(folder_ / wide / wide / wide);
  EXPECT_EQ(find(path("wide")), "Too many levels of symbolic links");
}

TEST_F(Places, AreOpenDescriptorsWhereTheNameSaysSo) {
  link("/dev/stdout", "out");
  link("/proc/self/fd/2", "err");
  EXPECT_EQ(find("/dev/stdout"), "-> 1");
  EXPECT_EQ(find("/dev/fd/7"), find("/proc/self/fd/7")) << "not open";
  EXPECT_EQ(find(path("out")), "-> 1");
  EXPECT_EQ(find(path("err")), "-> 2");
  EXPECT_EQ(find("/proc/" + std::to_string(getpid()) + "/fd/1"), "-> 1");
  EXPECT_EQ(find("/proc/1/fd/1").substr(0, 14), "a link of /pro");
  EXPECT_EQ(find("/proc/self/exe").substr(0, 14), "a link of /pro");
  EXPECT_EQ(find("/proc/self/cwd/report"), fs::current_path() / "report") << "as the kernel follows it";
  EXPECT_EQ(find("/proc/self/root" + path("report")), path("report"));
}

TEST_F(Places, AreNotWhereOthersHaveLaidLinks) {
  if (geteuid() != 0) GTEST_SKIP() << "needs another user's files";
  constexpr uid_t kOther = 65534;
  fs::create_directories(folder_ / "shared/inner");
  fs::create_directories(folder_ / "plain");
  chmod(path("shared").c_str(), 01777);
  for (const char* name : {"shared/link", "plain/link", "shared/folder", "shared/own"})
    link(std::string(name) == "shared/folder" ? "inner" : path("target"), name);
  for (const char* name : {"shared/link", "plain/link", "shared/folder"})
    ASSERT_EQ(lchown(path(name).c_str(), kOther, kOther), 0);
  const std::string refused = "a symbolic link of another user, in a world-writable directory, is not followed";
  EXPECT_EQ(find(path("shared/link")), refused);
  EXPECT_EQ(find(path("shared/folder/report")), refused);
  EXPECT_EQ(find(path("shared/own")), path("target"));
  EXPECT_EQ(find(path("plain/link")), path("target")) << "the folder's owner let him";
  ASSERT_EQ(chown(path("shared").c_str(), kOther, kOther), 0);
  EXPECT_EQ(find(path("shared/link")), path("target")) << "it is the folder's owner's";
  chmod(path("shared").c_str(), 0777);
  EXPECT_EQ(find(path("shared/link")), path("target")) << "not sticky: names mean nothing there anyway";
}

TEST_F(Places, AreLocalWhereNobodyElseHasToAnswer) {
  auto is_local_at = [](const char* path) {
    int fd = open(path, O_PATH | O_DIRECTORY);
    bool result = is_local(fd);
    close(fd);
    return result;
  };
  EXPECT_TRUE(is_local_at("/dev/shm"));
  EXPECT_FALSE(is_local_at("/proc"));
  EXPECT_FALSE(is_local(-1));
}

TEST_F(Places, LeaveNothingOpen) {
  int before = open("/dev/null", O_RDONLY);
  close(before);
  fs::create_directories(folder_ / "a/b");
  link("a/b/target", "link");
  link("circle", "circle");
  for (const char* name : {"a/b/report", "link", "circle", "a/missing/x", "a/"}) find(path(name));
  find("/proc/self/fd/1");
  int after = open("/dev/null", O_RDONLY);
  close(after);
  EXPECT_EQ(before, after);
}

}  // namespace
}  // namespace unfreed::base
