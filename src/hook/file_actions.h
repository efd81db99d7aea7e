// Shared by the hooks of functions that start other programs.
#pragma once

#include <spawn.h>

#include <cstring>

#include "hook/handover.h"
#include "track/exec_leaks.h"

namespace unfreed::hook {

/// The effect of a spawn call's file actions on the child's descriptors. The actions themselves are opaque; this is
/// their layout in glibc since 2.2 (struct __spawn_action in posix/spawn_int.h), and in musl since 1.1 (struct fdop in
/// src/process/fdop.h). Actions that are not understood are ignored: a descriptor may then be reported as leaked that
/// is not.
class FileActions {
 public:
#ifdef __GLIBC__
  explicit FileActions(const posix_spawn_file_actions_t* actions) {
    if (!actions || actions->__used < 0 || actions->__used > actions->__allocated) return;
    first_ = reinterpret_cast<const Action*>(actions->__actions);
    while (count_ < actions->__used && first_[count_].tag >= 0 && first_[count_].tag < kTags) ++count_;
  }
#else
  explicit FileActions(const posix_spawn_file_actions_t* actions) {
    auto* last = actions ? static_cast<const Action*>(actions->__actions) : nullptr;
    while (last && last->before) last = last->before;
    first_ = last;
  }
#endif

  track::ChildFds fds_of_child() const {
    track::ChildFds fds;
    each([&](const Action& action) {
      if (action.tag == kClose || action.tag == kOpen) fds.add(action.first);
      if (action.tag == kDup2) fds.add(action.second);
      if (action.tag == kCloseFrom && action.first < fds.closed_from) fds.closed_from = action.first;
    });
    return fds;
  }

  /// The program that the child executes, which may have changed its working directory before. `storage` keeps a
  /// path that is assembled for it.
  ProgramName program_of_child(const char* path, bool is_searched, base::TextBuilder& storage) const {
    ProgramName program{path, AT_FDCWD, is_searched};
    // A name that is searched in PATH depends on the directory only if PATH has relative entries.
    if (!path || *path == '/' || (is_searched && !std::strchr(path, '/'))) return program;
    each([&](const Action& action) {
      if (action.tag == kFchdir) program.directory = action.first;
      if (action.tag == kFchdir || (action.tag == kChdir && *action.folder() == '/')) storage.clear();
      if (action.tag == kChdir) storage.add(action.folder()).add('/');
    });
    if (storage.size()) program.text = storage.add(path).c_str();
    return program;
  }

 private:
#ifdef __GLIBC__
  enum Tag : int { kClose, kDup2, kOpen, kChdir, kFchdir, kCloseFrom, kTcsetpgrp, kTags };
  struct Action {
    int tag;
    int unused;
    int first;   ///< close: the number; dup2: the source; open: the number; close from; fchdir: the number
    int second;  ///< dup2: the target
    void* path;
    int flags;
    mode_t mode;
    /// chdir's path lies where the others have their numbers.
    const char* folder() const {
      const char* text;
      std::memcpy(&text, &first, sizeof text);
      return text;
    }
  };
  template <class Use>
  void each(Use use) const {
    for (int i = 0; i < count_; ++i) use(first_[i]);
  }
  int count_ = 0;
#else
  enum Tag : int { kClose = 1, kDup2, kOpen, kChdir, kFchdir, kCloseFrom = -1 };
  struct Action {
    const Action* before;  ///< what was added before it
    const Action* after;
    int tag;
    union {
      int first;   ///< close, open, fchdir: the number
      int second;  ///< dup2: the target
    };
    int source;
    int flags;
    mode_t mode;
    char path[1];  ///< and more
    const char* folder() const { return path; }
  };
  template <class Use>
  void each(Use use) const {
    for (const Action* action = first_; action; action = action->after) use(*action);
  }
#endif
  const Action* first_ = nullptr;
};

}  // namespace unfreed::hook
