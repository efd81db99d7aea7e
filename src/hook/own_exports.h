// This library's exports, as its process must see them: a hook is hidden if no other library has the function.
// Programs test whether a function exists (by a weak reference, by dlsym) and act on it; the answer must be the same as
// without this library.
//
// The file's table of dynamic symbols has every hook. Which of them stay visible is decided while the loader relocates
// this library, in this process's copy of the table. The loader relocates the executable later. The libraries behind
// this one are relocated already: their references to a hidden hook are reset there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hook/real.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/objects.h"

namespace unfreed::hook {

/// The segment that a place of a loaded object lies in; `start` as in unwind::describe_object(). Empty if that is not
/// known.
unwind::Segment segment_of(const link_map& map, uintptr_t start, const void* place);

/// A segment of a loaded object that the loader has made read-only; writable while this lives.
class WritableSegment {
 public:
  explicit WritableSegment(const unwind::Segment& segment);
  ~WritableSegment();
  WritableSegment(const WritableSegment&) = delete;
  WritableSegment& operator=(const WritableSegment&) = delete;
  /// Has it been made writable?
  explicit operator bool() const { return is_writable_; }

 private:
  long protect(int protection) const;

  unwind::Segment segment_;
  bool is_writable_ = false;
};

/// This library's table of exports, writable while this lives. If the table cannot be written, it stays unchanged.
/// Makes system calls, allocates nothing; one thread.
class OwnExports {
 public:
  explicit OwnExports(const link_map& own);

  /// Hides `name`.
  void hide(const unwind::SymbolName& name);

  /// Shows it only to references to `version`, which is a version of another library's function that this one uses.
  void limit_to_version(const unwind::SymbolName& name, const char* version);

  /// Resets references in other objects to what is hidden now, to the value that they have if nobody defines the
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
