#include "cli/text_file.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>

#include "base/descriptor_name.h"
#include "base/regular_file.h"

namespace unfreed::cli {

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
    if (got < 0) return !is_broken(base::failed(-errno), error);
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
  int file = static_cast<int>(opened.fd);
  bool is_read = read_all(file, most_bytes, text, error);
  close(file);
  return is_read;
}

bool read_input_file(const std::string& path, uint64_t most_bytes, std::string& text, std::string& error) {
  int given = path == "-" ? STDIN_FILENO : base::descriptor_of(path);
  if (given < 0) return read_regular_file(path, most_bytes, text, error);
  return read_all(given, most_bytes, text, error);
}

namespace {
std::atomic<report::ReportFile*> g_unfinished;
}

void discard_unfinished_report() {
  if (report::ReportFile* file = g_unfinished.load()) file->discard();
}

bool write_report_file(const std::string& path, std::string_view text, const OutputOptions& options, std::string& error,
                       std::string* where) {
  auto file = std::make_unique<report::ReportFile>();
  g_unfinished.store(file.get());
  base::FileProblem problem = file->open(path, options);
  if (!problem) problem = file->write(text);
  if (!problem) problem = file->keep();
  g_unfinished.store(nullptr);
  if (where) *where = file->path();
  return !is_broken(problem, error);
}

}  // namespace unfreed::cli
