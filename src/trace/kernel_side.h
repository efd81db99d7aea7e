// The kernel's side of --backend=ebpf (kernel_program.bpf.c): loads it, and reads its events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "trace/kernel_events.h"

namespace unfreed::trace {

struct KernelOptions {
  size_t ring_bytes = 32 << 20;     ///< a power of two, at least a page
  uint32_t stack_bytes = 8 * 1024;  ///< of each stack, at most: a multiple of a page, at most 16 KiB
  bool follows_children = true;     ///< those of watched processes are watched, too
};

/// For one thread. All ends with it: whatever was watched goes on as if nothing had been.
class KernelSide {
 public:
  /// An event and its pieces, until it returns.
  using Handler = std::function<void(const KernelEvent&, std::span<const std::byte> pieces)>;

  /// nullptr: `problem` says why, in a line. Needs root.
  static std::unique_ptr<KernelSide> load(const KernelOptions& options, Handler handler, std::string& problem);
  virtual ~KernelSide() = default;

  /// False: too many are watched.
  virtual bool watch(int pid) = 0;
  /// Readable once much waits to be taken.
  virtual int descriptor() const = 0;
  /// Hands over what there is. False: there was nothing.
  virtual bool take_events() = 0;
  /// Calls that with each process that events were lost of since the last time.
  virtual void take_losses(const std::function<void(int pid)>& visit) = 0;
};

}  // namespace unfreed::trace
