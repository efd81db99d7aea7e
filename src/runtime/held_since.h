// Who holds what was acquired after a mark, for the C API: call sites with their stacks.
#pragma once

#include <cstdint>
#include <span>

#include "evaluate/held_sites.h"

namespace unfreed::runtime {

/// Call sites that were described, and the memory that their texts lie in.
class HeldSince {
 public:
  /// `held`: in order of their sites. A copy of the process makes the report that the texts are from: it sees
  /// suppressions, and, through the command if that is installed, source lines. Waits for it, and for a report that is
  /// being made, with a limit; what cannot be described has the name of the acquiring function alone. Not
  /// async-signal-safe.
  explicit HeldSince(std::span<const report::HeldSite> held);
  ~HeldSince();
  HeldSince(const HeldSince&) = delete;
  HeldSince& operator=(const HeldSince&) = delete;

  /// False: there was no memory.
  explicit operator bool() const { return shared_; }

  /// The worst first; of each, once.
  bool next(report::HeldText& out) { return report::take_held_text(left_, out); }

  /// Most call sites that are described: those that hold most.
  static constexpr size_t kMostSites = 256;

 private:
  struct Shared;
  bool describe();
  void name_only();
  static int make(void* context);

  Shared* shared_ = nullptr;
  std::string_view left_;
};

}  // namespace unfreed::runtime
