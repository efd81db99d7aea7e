// The tracer, or observer, of a process that runs already: a thread of the command. The kernel lets all that it traces
// go on as they are, untraced, when the thread ends, in order or because the command is killed.
#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "base/unique_fd.h"
#include "trace/attached_loop.h"

namespace unfreed::trace {

/// One at a time: takes SIGALRM.
class Attachment {
 public:
  /// Attaches to the process `pid`; returns when it has.
  Attachment(std::unique_ptr<AttachedLoop> loop, int pid);
  /// Ends it, if that has not been done.
  ~Attachment() { end(); }
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  const Attached& attached() const { return attached_; }
  /// Readable once there is nothing to trace any more.
  int descriptor() const { return has_ended_.get(); }
  /// All go on untraced. The ledgers are complete.
  void end();

 private:
  void live(int pid);

  std::unique_ptr<AttachedLoop> loop_;
  base::UniqueFd has_ended_;
  std::atomic<bool> is_asked_ = false;
  std::promise<Attached> answer_;
  Attached attached_;
  std::thread thread_;
};

}  // namespace unfreed::trace
