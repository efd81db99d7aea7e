// What this library exports, as the process it is in must see it: a hook whose function no other library has is hidden.
// Programs ask whether a function is there (a weak reference, dlsym) and go by the answer; it must be the one that they
// get without this library.
//
// The file's table of dynamic symbols has every hook. Which of them stay is decided while the loader relocates this
// library, in the copy of the table that this process has in memory. The loader comes to the executable later. To the
// libraries behind this one it has been already: references that it has bound to a hidden hook are reset there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hook/real.h"
#include "unwind/dynamic_symbols.h"

namespace unfreed::hook {

/// A segment of a loaded object that the loader has left read-only, writable while this lives.
class WritableSegment {
 public:
  explicit WritableSegment(const unwind::Segment& segment);
  ~WritableSegment();
  WritableSegment(const WritableSegment&) = delete;
  WritableSegment& operator=(const WritableSegment&) = delete;
  /// Could it be made so?
  explicit operator bool() const { return is_writable_; }

 private:
  long protect(int protection) const;

  unwind::Segment segment_;
  bool is_writable_ = false;
};

/// This library's table of exports, open for changes while this lives. Where the table cannot be changed, nothing is.
/// Makes system calls, allocates nothing; one thread.
class OwnExports {
 public:
  explicit OwnExports(const link_map& own);

  /// Nobody finds `name` here from now on.
  void hide(const unwind::SymbolName& name);

  /// Only references to `version` do, which is one of another library's functions that this one uses.
  void limit_to_version(const unwind::SymbolName& name, const char* version);

  /// Makes the references in other objects that were bound to what is hidden now what they are when nobody defines the
  /// symbol.
  void reset_references_to_hidden() const;

 private:
  const link_map& own_;
  unwind::DynamicSymbols symbols_;
  WritableSegment access_;
  uint16_t hidden_[hook_number(Hook::count_)];  ///< their places in the table
  size_t hidden_count_ = 0;
};

}  // namespace unfreed::hook
