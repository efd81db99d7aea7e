#include "elf/obstacle.h"

namespace unfreed::elf {

std::string_view describe(Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::none:
      return "nothing prevents it";
    case Obstacle::static_program:
      return "it is statically linked: no library can be preloaded into it";
    case Obstacle::static_go:
      return "it is a statically linked Go program: no library can be preloaded into it";
    case Obstacle::musl:
      return "its libc is musl, for which this unfreed has no library";
    case Obstacle::foreign_loader:
      return "its dynamic loader is not glibc's";
    case Obstacle::other_processor:
      return "it is built for another processor architecture";
    case Obstacle::set_uid:
      return "it is set-uid: the dynamic loader ignores preloaded libraries in it";
    case Obstacle::set_gid:
      return "it is set-gid: the dynamic loader ignores preloaded libraries in it";
    case Obstacle::capabilities:
      return "it has file capabilities: the dynamic loader ignores preloaded libraries in it";
    case Obstacle::sanitizer_first:
      return "its sanitizer must be loaded first, and refuses to start after a preloaded library";
    case Obstacle::no_preload:
      return "it was started without unfreed in LD_PRELOAD";
    case Obstacle::no_session:
      return "it was started without UNFREED_SESSION: it reports separately, outside this run";
    case Obstacle::changed_ids:
      return "its effective and real user or group differ: the dynamic loader ignores preloaded libraries in it";
    case Obstacle::unreachable:
      return "libunfreed.so cannot be read where it runs (chroot, another mount namespace, or permissions)";
    case Obstacle::no_ledger:
      return "there was no room for its ledger";
    case Obstacle::no_tracer:
      return "its tracer was killed or failed while it ran";
    case Obstacle::apart:
      return "its ledger could not be kept with those of the run, for a limit on file sizes, want of room, or a mount: "
             "it reports separately";
  }
  return "for a reason that this version does not know";
}

}  // namespace unfreed::elf
