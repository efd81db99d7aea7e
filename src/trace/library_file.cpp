#include "trace/library_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>

#include "base/text.h"
#include "base/unique_fd.h"
#include "ledger/file_names.h"

namespace unfreed::trace {

/// Processes that had the number before may have left theirs.
void LibraryFile::each_name(const std::function<void(const char* name)>& act) const {
  constexpr uint32_t kMost = 4;
  ledger::FileName name;
  name.pid = pid_;
  name.pid_namespace = namespace_;
  name.is_library = true;
  for (name.image = 0; name.image < kMost; ++name.image) {
    base::FixedText<64> text;
    ledger::add_file_name(text, name);
    act(text.c_str());
  }
}

bool LibraryFile::exists() const {
  bool is_there = false;
  each_name([&](const char* name) { is_there = is_there || faccessat(folder_, name, F_OK, 0) == 0; });
  return is_there;
}

std::optional<LibraryFile::Coverages> LibraryFile::coverages() const {
  std::optional<Coverages> newest;
  each_name([&](const char* name) {
    base::UniqueFd file(openat(folder_, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    Coverages read;
    constexpr auto kPlace = static_cast<off_t>(offsetof(ledger::Header, coverage));
    if (file && pread(file.get(), read.data(), read.size(), kPlace) == static_cast<ssize_t>(read.size())) newest = read;
  });
  return newest;
}

void LibraryFile::remove() const {
  each_name([&](const char* name) { unlinkat(folder_, name, 0); });
}

}  // namespace unfreed::trace
