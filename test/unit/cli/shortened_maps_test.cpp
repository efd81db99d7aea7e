// Files that are cut short while they are mapped.
#include "cli/shortened_maps.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

namespace unfreed::cli {
namespace {

/// Touches what has gone of a file, in a process of its own; what became of that (waitpid's).
int touch_what_has_gone(bool outlives) {
  pid_t child = fork();
  if (child == 0) {
    char path[] = "/tmp/unfreed-map-XXXXXX";
    int file = mkstemp(path);
    unlink(path);
    constexpr size_t kPage = 4096;
    char page[kPage];
    std::memset(page, 'x', sizeof page);
    for (int count = 0; count < 3; ++count)
      if (write(file, page, sizeof page) != sizeof page) _exit(9);
    void* place = mmap(nullptr, 3 * kPage, PROT_READ, MAP_PRIVATE, file, 0);
    if (place == MAP_FAILED || ftruncate(file, kPage) != 0) _exit(9);
    signal(SIGBUS, SIG_DFL);  // a sanitizer has a handler of its own
    if (outlives) outlive_shortened_maps();
    auto* bytes = static_cast<volatile const char*>(place);
    bool is_right = bytes[kPage - 1] == 'x' && bytes[kPage] == 0 && bytes[3 * kPage - 1] == 0;
    _exit(is_right ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

TEST(ShortenedMaps, ReadAsZeros) {
  int status = touch_what_has_gone(false);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << "the danger";
  EXPECT_EQ(touch_what_has_gone(true), 0);
}

TEST(ShortenedMaps, OtherFaultsEndTheProcess) {
  pid_t child = fork();
  if (child == 0) {
    outlive_shortened_maps();
    raise(SIGBUS);
    raise(SIGBUS);
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

}  // namespace
}  // namespace unfreed::cli
