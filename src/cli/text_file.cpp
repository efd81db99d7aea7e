#include "cli/text_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "base/descriptor_name.h"
#include "base/regular_file.h"

namespace unfreed::cli {

namespace {

/// A descriptor of our own, closed at the end of the scope.
class OpenFile {
 public:
  explicit OpenFile(int number) : number_(number) {}
  ~OpenFile() { close_now(); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int number() const { return number_; }
  /// False when the kernel reports a late error.
  bool close_now() {
    if (number_ <= STDERR_FILENO) return true;
    int result = close(number_);
    number_ = -1;
    return result == 0 || errno == EINTR;
  }

 private:
  int number_;
};

bool write_all(int file, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

bool fail(std::string& error) {
  error = std::strerror(errno);
  return false;
}

bool write_in_place(int number, std::string_view text, std::string& error) {
  OpenFile file(number);
  if (number < 0 || !write_all(number, text) || !file.close_now()) return fail(error);
  return true;
}

/// Where a chain of symbolic links leads, so that the link stays and its target is replaced.
std::string follow_links(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) ? resolved : path;
}

}  // namespace

namespace {

bool is_broken(const base::FileProblem& problem, std::string& error) {
  if (!problem) return false;
  base::FixedText<128> text;
  base::add_problem(text, problem);
  error = text.text();
  return true;
}

/// Waits where there is nothing to read yet, as a descriptor that was given may be one that does not.
void wait_to_read(int file) {
  pollfd wanted{file, POLLIN, 0};
  poll(&wanted, 1, -1);
}

bool read_all(int file, uint64_t most_bytes, std::string& text, std::string& error) {
  text.clear();
  size_t used = 0;
  for (;;) {
    // Most files are small, and what a string grows by is cleared first.
    constexpr size_t kLeastRoom = 4 * 1024;
    if (text.size() - used < kLeastRoom)
      text.resize(std::min<size_t>(std::max(text.size() * 2, 4 * kLeastRoom), most_bytes + 2 * kLeastRoom));
    ssize_t got = read(file, text.data() + used, text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      wait_to_read(file);
      continue;
    }
    if (got < 0) return fail(error);
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used > most_bytes) return !is_broken({base::kTooLarge}, error);
  }
  text.resize(used);
  return true;
}

}  // namespace

bool read_regular_file(const std::string& path, uint64_t most_bytes, std::string& text, std::string& error) {
  base::RegularFile opened = base::open_regular_file(path.c_str(), most_bytes);
  if (is_broken(opened.problem, error)) return false;
  OpenFile file(static_cast<int>(opened.fd));
  return read_all(file.number(), most_bytes, text, error);
}

bool read_input_file(const std::string& path, uint64_t most_bytes, std::string& text, std::string& error) {
  int given = path == "-" ? STDIN_FILENO : base::descriptor_of(path);
  if (given < 0) return read_regular_file(path, most_bytes, text, error);
  return read_all(given, most_bytes, text, error);
}

bool write_text_file(const std::string& given, std::string_view text, std::string& error) {
  if (given == "-") return write_in_place(STDOUT_FILENO, text, error);
  std::string path = follow_links(given);
  struct stat existing {};
  bool exists = stat(path.c_str(), &existing) == 0;
  if (exists && S_ISDIR(existing.st_mode)) {
    errno = EISDIR;
    return fail(error);
  }
  if (exists && !S_ISREG(existing.st_mode))
    return write_in_place(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY), text, error);
  std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
  // Left behind by a process of the same number that was killed; O_EXCL never follows what is there.
  unlink(temporary.c_str());
  OpenFile file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (file.number() < 0) return fail(error);
  if (exists) fchmod(file.number(), existing.st_mode & 07777);
  if (write_all(file.number(), text) && file.close_now() && rename(temporary.c_str(), path.c_str()) == 0) return true;
  fail(error);
  unlink(temporary.c_str());
  return false;
}

}  // namespace unfreed::cli
