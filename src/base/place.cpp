#include "base/place.h"

#include <errno.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/descriptor_name.h"
#include "base/syscall.h"

namespace unfreed::base {

namespace {

constexpr int kMostLinks = 40;  // as the kernel
constexpr const char* kForeignLink = "a symbolic link of another user, in a world-writable directory, is not followed";
constexpr const char* kProcLink = "a link of /proc cannot be replaced; give the file's own name";

/// A folder's descriptor on the way.
class Folder {
 public:
  explicit Folder(long fd) : fd_(fd) {}
  ~Folder() { close(); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  long fd() const { return fd_; }
  void move_to(long fd) {
    close();
    fd_ = fd;
  }
  long release() {
    long fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  void close() {
    if (fd_ >= 0) close_file(fd_);
  }
  long fd_;
};

long open_folder(long at, const char* name, int more_flags) {
  return raw_syscall(SYS_openat, at, reinterpret_cast<long>(name), O_PATH | O_DIRECTORY | O_CLOEXEC | more_flags, 0);
}

long look_at(long fd, struct stat& out) { return raw_syscall(SYS_fstat, fd, reinterpret_cast<long>(&out)); }

long look_at(long folder, const char* name, struct stat& out, int flags) {
  return raw_syscall(SYS_newfstatat, folder, reinterpret_cast<long>(name), reinterpret_cast<long>(&out), flags);
}

bool is_on_proc(long folder) {
  constexpr long kProcMagic = 0x9fa0;
  struct statfs status {};
  return !is_error(raw_syscall(SYS_fstatfs, folder, reinterpret_cast<long>(&status))) && status.f_type == kProcMagic;
}

/// The way that is still to go, at the end of the scratch memory: links are put before it.
class Way {
 public:
  explicit Way(std::span<char> scratch) : all_(scratch), at_(scratch.size()) {}

  bool put_first(std::string_view path) {
    if (path.size() > at_) return false;
    at_ -= path.size();
    std::memcpy(all_.data() + at_, path.data(), path.size());
    return true;
  }

  /// A link's text comes first. −errno.
  long put_link_first(long link) {
    if (at_ == 0) return -ENAMETOOLONG;
    long size = raw_syscall(SYS_readlinkat, link, reinterpret_cast<long>(""), reinterpret_cast<long>(all_.data()),
                            static_cast<long>(at_));
    if (is_error(size)) return size;
    if (static_cast<size_t>(size) == at_) return -ENAMETOOLONG;  // perhaps cut
    at_ -= static_cast<size_t>(size);
    std::memmove(all_.data() + at_, all_.data(), static_cast<size_t>(size));
    return size;
  }

  bool is_absolute() const { return at_ < all_.size() && all_[at_] == '/'; }

  /// Takes the next name off: its length, 0 if there is none left, or −errno. `is_last`: and no slash behind it.
  long take(char (&name)[NAME_MAX + 1], bool& is_last) {
    while (is_absolute()) ++at_;
    size_t start = at_;
    while (at_ < all_.size() && all_[at_] != '/') ++at_;
    size_t size = at_ - start;
    if (size > NAME_MAX) return -ENAMETOOLONG;
    std::memcpy(name, all_.data() + start, size);
    name[size] = '\0';
    is_last = at_ == all_.size();
    return static_cast<long>(size);
  }

 private:
  std::span<char> all_;
  size_t at_;
};

FileProblem start(const Way& way, Folder& folder) {
  bool is_absolute = way.is_absolute();
  folder.move_to(open_folder(AT_FDCWD, is_absolute ? "/" : ".", 0));
  if (is_error(folder.fd())) return failed(folder.fd());
  struct stat status {};
  if (!is_absolute && look_at(folder.fd(), status) == 0 && status.st_nlink == 0)
    return {"the working directory has been deleted"};
  return {};
}

/// An open descriptor's name in this process's own folder of them.
int own_descriptor(long folder, const char* name) {
  struct stat here {};
  struct stat own {};
  if (look_at(folder, here) != 0 || look_at(AT_FDCWD, "/proc/self/fd", own, 0) != 0) return -1;
  if (here.st_dev != own.st_dev || here.st_ino != own.st_ino) return -1;
  FixedText<NAME_MAX + 16> path;
  return descriptor_of(path.add("/dev/fd/").add(name).text());
}

/// The link `name` of `folder` comes before the rest of the way.
FileProblem follow(Folder& folder, const char* name, Way& way) {
  constexpr int kLinkItself = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  long link = raw_syscall(SYS_openat, folder.fd(), reinterpret_cast<long>(name), kLinkItself, 0);
  if (is_error(link)) return failed(link);
  struct stat of_link {};
  struct stat of_folder {};
  look_at(link, of_link);
  look_at(folder.fd(), of_folder);
  bool is_one = S_ISLNK(of_link.st_mode);
  bool is_followed = is_one && is_trusted(of_folder, of_link.st_uid);
  long size = is_followed ? way.put_link_first(link) : -ENOTDIR;
  close_file(link);
  if (is_one && !is_followed) return {kForeignLink};
  if (is_error(size)) return failed(size);
  return way.is_absolute() ? start(way, folder) : FileProblem{};
}

bool is_link(long folder, const char* name) {
  struct stat status {};
  return look_at(folder, name, status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

}  // namespace

bool is_trusted(const struct stat& folder, unsigned owner) {
  constexpr mode_t kShared = S_ISVTX | S_IWOTH;
  if ((folder.st_mode & kShared) != kShared || owner == folder.st_uid) return true;
  return owner == static_cast<unsigned>(raw_syscall(SYS_geteuid));
}

FileProblem find_place(std::string_view path, std::span<char> scratch, Place& out) {
  Way way(scratch);
  if (path.empty()) return failed(-ENOENT);
  if (path.size() >= PATH_MAX || !way.put_first(path)) return failed(-ENAMETOOLONG);
  Folder folder(-1);
  FileProblem problem = start(way, folder);
  for (int links = 0; !problem;) {
    bool is_last = false;
    long size = way.take(out.name, is_last);
    if (is_error(size)) return failed(size);
    std::string_view name(out.name);
    if (size == 0 || (is_last && (name == "." || name == ".."))) return failed(-EISDIR);
    if (!is_last) {
      long next = open_folder(folder.fd(), out.name, O_NOFOLLOW);
      bool is_something_else = next == -ENOTDIR || next == -ELOOP;
      // The kernel follows links of /proc, which lead elsewhere than their texts say.
      if (is_something_else && is_on_proc(folder.fd())) next = open_folder(folder.fd(), out.name, 0);
      if (!is_error(next)) {
        folder.move_to(next);
        continue;
      }
      if (!is_something_else) return failed(next);
    } else if (!is_link(folder.fd(), out.name)) {
      out.folder = folder.release();
      return {};
    } else if (is_on_proc(folder.fd())) {
      out.descriptor = own_descriptor(folder.fd(), out.name);
      return out.descriptor < 0 ? FileProblem{kProcLink} : FileProblem{};
    }
    if (++links > kMostLinks) return failed(-ELOOP);
    out.is_followed = out.is_followed || is_last;
    problem = follow(folder, out.name, way);
  }
  return problem;
}

bool is_local(long folder) {
  // statfs(2): ext2 to 4, XFS, Btrfs, F2FS, ZFS, tmpfs, ramfs, overlayfs (whose layers are local as a rule)
  constexpr uint32_t kLocal[] = {0xef53,     0x58465342, 0x9123683e, 0xf2f52010,
                                 0x2fc12fc1, 0x01021994, 0x858458f6, 0x794c7630};
  struct statfs status {};
  if (is_error(raw_syscall(SYS_fstatfs, folder, reinterpret_cast<long>(&status)))) return false;
  return std::find(std::begin(kLocal), std::end(kLocal), static_cast<uint32_t>(status.f_type)) != std::end(kLocal);
}

}  // namespace unfreed::base
