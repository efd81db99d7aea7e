#include "grade/kernel_pointers.h"

#include <errno.h>

#include "base/numbered_entries.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"
#include "grade/mapping_lines.h"

namespace unfreed::grade {

namespace {

using Path = base::FixedText<64>;

/// Returns the bytes of where a link of /proc leads to, or −errno.
long read_link(const char* path, std::span<char> out) {
  return base::raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(path), reinterpret_cast<long>(out.data()),
                           static_cast<long>(out.size()));
}
std::string_view text_of(std::span<const char> link, long bytes) {
  return bytes > 0 ? std::string_view(link.data(), static_cast<size_t>(bytes)) : std::string_view();
}

/// False: /proc numbers processes as another pid namespace does.
bool add_folder_of(int pid, Path& path) {
  if (pid == base::current_pid()) {
    path.add("/proc/self");
    return true;
  }
  char digits[16];
  base::FixedText<16> own;
  own.add_signed(base::current_pid());
  path.add("/proc/").add_signed(pid);
  return text_of(digits, read_link("/proc/self", digits)) == own.text();
}

enum class Is : uint8_t { epoll, another, unknown };
Is what_is(std::string_view folder, int fd) {
  constexpr std::string_view kTarget = "anon_inode:[eventpoll]";
  char target[kTarget.size() + 1];
  Path path;
  path.add(folder).add("/fd/").add_signed(fd);
  long bytes = read_link(path.c_str(), target);
  if (base::is_error(bytes)) return bytes == -ENOENT ? Is::another : Is::unknown;  // it may have been closed
  return text_of(target, bytes) == kTarget ? Is::epoll : Is::another;
}

}  // namespace

bool parse_epoll_data(std::string_view line, uint64_t& data) {
  constexpr std::string_view kData = "data:";
  size_t at = line.find(kData);
  if (!line.starts_with("tfd:") || at == line.npos) return false;
  line.remove_prefix(at + kData.size());
  while (line.starts_with(' ')) line.remove_prefix(1);
  return base::take_hexadecimal(line, data);
}

bool each_epoll_data(int pid, std::span<char> buffer, void* context, void (*visit)(void* context, uint64_t data)) {
  Path folder;
  if (!add_folder_of(pid, folder)) return false;
  Path descriptors;
  descriptors.add(folder.text()).add("/fd");
  long directory = base::open_file(descriptors.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory == -EACCES) return true;
  if (base::is_error(directory)) return false;
  alignas(8) char entries[1024];
  bool is_whole = base::each_numbered_entry(directory, entries, [&](int fd) {
    Is what = what_is(folder.text(), fd);
    if (what != Is::epoll) return what == Is::another;
    Path path;
    path.add(folder.text()).add("/fdinfo/").add_signed(fd);
    return each_line(path.c_str(), buffer, [&](std::string_view line) {
      if (uint64_t data; parse_epoll_data(line, data)) visit(context, data);
      return true;
    });
  });
  base::close_file(directory);
  return is_whole;
}

}  // namespace unfreed::grade
