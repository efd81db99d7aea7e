#include "trace/library_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "base/unique_fd.h"
#include "ledger/file_names.h"

namespace unfreed::trace {

/// Processes that had the number before may have left theirs.
void LibraryFile::each_name(const std::function<void(const char* name)>& act) const {
  int listed = openat(folder_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::unique_ptr<DIR, int (*)(DIR*)> open(listed < 0 ? nullptr : fdopendir(listed), &closedir);
  ledger::FileName name;
  while (dirent* entry = open ? readdir(open.get()) : nullptr)
    if (ledger::parse_file_name(entry->d_name, name) && name.is_library && name.pid == pid_ &&
        name.pid_namespace == namespace_)
      act(entry->d_name);
}

std::optional<LibraryFile::Coverages> LibraryFile::coverages() const {
  struct Facts {
    Coverages coverages;
    uint64_t made_ns;
  };
  std::optional<Facts> newest;
  each_name([&](const char* name) {
    base::UniqueFd file(openat(folder_, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    alignas(ledger::Header) char bytes[sizeof(ledger::Header)];
    if (!file || pread(file.get(), bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) return;
    const auto& header = *reinterpret_cast<const ledger::Header*>(bytes);
    if (newest && newest->made_ns > header.created_boottime_ns) return;
    newest = {{}, header.created_boottime_ns};
    std::copy(std::begin(header.coverage), std::end(header.coverage), newest->coverages.begin());
  });
  if (!newest) return {};
  return newest->coverages;
}

void LibraryFile::remove() const {
  each_name([&](const char* name) { unlinkat(folder_, name, 0); });
}

}  // namespace unfreed::trace
