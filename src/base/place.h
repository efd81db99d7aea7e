// Resolves the name of a file to be written: to a folder, and an entry in it.
//
// Symbolic links are followed here, one by one, and not by the kernel, for two reasons. The file that a link leads to
// is replaced, not the link; so its folder must be known, and be the one that was examined: everything after that uses
// a descriptor of the folder. And in a sticky world-writable folder (/tmp) a link of another user is
// not followed, just as the kernel refuses it if fs.protected_symlinks is on, which it is not everywhere.
//
// System calls alone; async-signal-safe.
#pragma once

#include <sys/stat.h>

#include <climits>
#include <cstddef>

#include "base/file_problem.h"

namespace unfreed::base {

struct Place {
  long folder = -1;          ///< of O_PATH; whoever asked closes it
  char name[NAME_MAX + 1];   ///< of the entry, which is no symbolic link, and need not be there
  bool is_followed = false;  ///< the name given was a link's
  int descriptor = -1;       ///< ≥ 0: the name leads to this open descriptor of the process itself, and to no folder
};

inline constexpr size_t kPlaceScratchBytes = 2 * PATH_MAX;

/// `scratch`: kPlaceScratchBytes of working memory. A problem leaves nothing open.
FileProblem find_place(std::string_view path, std::span<char> scratch, Place& out);

/// Can an entry that `owner` put into `folder` be trusted? In a sticky folder that others write to, only an entry of
/// this user or of the folder's owner.
bool is_trusted(const struct stat& folder, unsigned owner);

/// Does no server, nor a program (FUSE), stand between this process and the folder's files, which may not answer? False
/// also if the file system is not known.
bool is_local(long folder);

}  // namespace unfreed::base
