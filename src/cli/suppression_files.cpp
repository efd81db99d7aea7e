#include "cli/suppression_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"
#include "cli/ledger_files.h"
#include "cli/text_file.h"
#include "settings/settings.h"

namespace unfreed::cli {

namespace {
/// A process may have another root, or other mounts, and links lead from there.
bool read_as_seen_by(int pid, const std::string& path, std::string& text, std::string& error) {
  base::UniqueFd root(open((process_folder(pid) + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  base::UniqueFd file(root ? static_cast<int>(syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)) : -1);
  if (root && !file && errno == ENOSYS)  // before Linux 5.6
    return read_regular_file(process_folder(pid) + "/root" + path, report::kMostSuppressionBytes, text, error);
  if (!file) {
    error = std::strerror(errno);
    return false;
  }
  return read_regular_file(fmt::format("/proc/self/fd/{}", file.get()), report::kMostSuppressionBytes, text, error);
}

bool read_one(const std::string& path, NamedBy named_by, int pid, std::string& text, std::string& error) {
  if (named_by == NamedBy::user) return read_input_file(path, report::kMostSuppressionBytes, text, error);
  if (path.starts_with('/') && pid) return read_as_seen_by(pid, path, text, error);
  if (path.starts_with('/')) return read_regular_file(path, report::kMostSuppressionBytes, text, error);
  error = report::kWithoutFolder;
  return false;
}
}  // namespace

bool SuppressionFiles::read(std::string_view files, NamedBy named_by, std::string& error, int pid) {
  while (!files.empty()) {
    size_t end = std::min(files.find(':'), files.size());
    std::string path(files.substr(0, end));
    files.remove_prefix(std::min(end + 1, files.size()));
    if (path.empty()) continue;
    std::string text;
    if (!read_one(path, named_by, pid, text, error)) {
      error = fmt::format("suppression file {} cannot be read: {}", path, error);
      return false;
    }
    texts_.push_back(std::move(text));
    size_t count = all_.size();
    all_.resize(report::kMaxSuppressions);
    report::ParseError problem;
    size_t line = 0;
    bool fine = report::parse_suppressions(texts_.back(), all_, count, problem, line);
    all_.resize(count);
    if (!fine) {
      error = fmt::format("suppression file {}, line {}: {}", path, line, problem.message ? problem.message : "?");
      return false;
    }
  }
  return true;
}

}  // namespace unfreed::cli
