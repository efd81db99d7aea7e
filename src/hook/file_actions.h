// What the functions that start other programs share.
#pragma once

#include <spawn.h>

#include "track/crossings.h"

namespace unfreed::hook {

/// What the file actions of a spawn call make of the child's descriptors. The actions themselves are opaque; this is
/// how glibc has laid them out since 2.2 (struct __spawn_action in posix/spawn_int.h). What is not understood is left
/// out: a descriptor is then reported that in truth does not cross.
inline track::ChildFds fds_of_child(const posix_spawn_file_actions_t* actions) {
  enum Tag : int { kClose, kDup2, kOpen, kChdir, kFchdir, kCloseFrom, kTcsetpgrp, kTags };
  struct Action {
    int tag;
    int unused;
    int first;   ///< close: the number; dup2: the source; open: the number; close from
    int second;  ///< dup2: the target
    void* path;
    int flags;
    mode_t mode;
  };
  track::ChildFds fds;
  if (!actions || actions->__used < 0 || actions->__used > actions->__allocated) return fds;
  auto* list = reinterpret_cast<const Action*>(actions->__actions);
  for (int i = 0; i < actions->__used && list[i].tag >= 0 && list[i].tag < kTags; ++i) {
    if (list[i].tag == kClose || list[i].tag == kOpen) fds.add(list[i].first);
    if (list[i].tag == kDup2) fds.add(list[i].second);
    if (list[i].tag == kCloseFrom && list[i].first < fds.closed_from) fds.closed_from = list[i].first;
  }
  return fds;
}

}  // namespace unfreed::hook
