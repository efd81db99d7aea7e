// Caches the names that a report needs repeatedly: a few thousand functions make up all its stacks. The key is where
// the linked name lies in a mapped file. Allocation-free; thread-compatible.
//
//     entries_   │ key → text, sizes │ … │     one place for each hash; the newest name has it
//     texts_     │ shown, full │ shown, full │ … free │     emptied, entries and all, when it is full
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "names/function_names.h"

namespace unfreed::report {

/// A megabyte, of which little is touched before it is needed: not for a stack.
class NameCache {
 public:
  /// False: it is not known. The texts are valid until the next keep() or forget().
  bool find(std::string_view linkage_name, FunctionName& out) const {
    if (used_ == 0) return false;
    const Entry& entry = entries_[place(linkage_name)];
    if (entry.key != linkage_name.data() || entry.key_size != linkage_name.size()) return false;
    out.shown = {texts_ + entry.text, entry.shown_size};
    out.full = entry.full_size ? std::string_view(texts_ + entry.text + entry.shown_size, entry.full_size) : out.shown;
    return true;
  }

  void keep(std::string_view linkage_name, const FunctionName& name) {
    bool is_spelled = name.full != name.shown;
    size_t needed = name.shown.size() + (is_spelled ? name.full.size() : 0);
    if (needed == 0 || needed > kTextBytes || linkage_name.empty()) return;
    if (needed > kTextBytes - used_) forget();
    if (used_ == 0) std::memset(static_cast<void*>(entries_), 0, sizeof entries_);
    Entry& entry = entries_[place(linkage_name)];
    entry = {linkage_name.data(), static_cast<uint32_t>(linkage_name.size()), static_cast<uint32_t>(used_),
             static_cast<uint32_t>(name.shown.size()), static_cast<uint32_t>(needed - name.shown.size())};
    std::memcpy(texts_ + used_, name.shown.data(), name.shown.size());
    if (is_spelled) std::memcpy(texts_ + used_ + name.shown.size(), name.full.data(), name.full.size());
    used_ += needed;
  }

  /// Call it before memory that holds linked names is unmapped.
  void forget() { used_ = 0; }

 private:
  struct Entry {
    const char* key;
    uint32_t key_size;
    uint32_t text;
    uint32_t shown_size;
    uint32_t full_size;  ///< 0: the same text
  };
  static constexpr size_t kEntries = 4096;
  static constexpr size_t kTextBytes = 1 << 20;

  static size_t place(std::string_view linkage_name) {
    return (reinterpret_cast<uintptr_t>(linkage_name.data()) * 0x9e3779b97f4a7c15u) >> 52;
  }

  Entry entries_[kEntries];  ///< zeroed when the first text is kept
  size_t used_ = 0;
  char texts_[kTextBytes];
};

}  // namespace unfreed::report
