// What the observer does with each event that the kernel tells it of (--backend=ebpf). The processes are never stopped:
// what is to be known of a moment was copied then, and what /proc says now is not asked but for names.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trace/attached_loop.h"
#include "trace/call_recorder.h"
#include "trace/kernel_side.h"

namespace unfreed::trace {

class ObserveLoop : public AttachedLoop {
 public:
  explicit ObserveLoop(TraceSetup setup, KernelOptions options = {});

  /// Loads the kernel's side. "", or why that fails, in a line.
  std::string prepare();
  /// A process that is about to execute its program. 0 or an errno.
  int seize(int pid);
  /// Until no observed process is left. Who writes to `socket` is answered once all has been recorded that was before.
  void run(int socket);

  Attached attach(int pid) override;
  void run_attached(const std::atomic<bool>& is_asked, int has_ended) override;

 private:
  struct Pieces;

  void take(const KernelEvent& event, std::span<const std::byte> bytes);
  void call_begins(TracedProcess& process, const Caller& caller);
  void forked(TracedProcess& parent, const KernelEvent& event, const Caller& caller, const Pieces& pieces);
  void executed(TracedProcess& process, const KernelEvent& event, const Pieces& pieces);
  void ended(TracedProcess& process, const KernelEvent& event, const Pieces& pieces);
  void end(TracedProcess& process, const std::vector<int>* open, int status, uint64_t now_ns);
  TracedProcess* adopt(int pid);
  void watch_others(Attached& out);
  TracedProcess* watch(int pid, Attached& out);
  void turn(int socket);
  void take_losses();
  void look_for_ended();
  void take_last_facts();

  CallRecorder recorder_;
  KernelOptions options_;
  std::unique_ptr<KernelSide> kernel_;
  bool is_attached_ = false;
  bool has_losses_ = false;
  bool is_launcher_gone_ = false;
};

}  // namespace unfreed::trace
