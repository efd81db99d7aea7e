// Writes a ledger from outside: in a copy of a running process's, for a process that cannot load the library, or for a
// test. Needs nothing of the tracker's, which does the same things in the process itself, in its own, faster ways.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ledger/interning.h"
#include "ledger/writer.h"

namespace unfreed::ledger {

/// Who the process is. Texts are copied.
struct ProcessDescription {
  int32_t pid;
  int32_t ppid;
  uint32_t uid;
  std::string_view exe;   ///< absolute path
  std::string_view argv;  ///< each NUL-terminated
  uint32_t argv_count;
  uint64_t started_realtime_ns;
  uint64_t started_monotonic_ns;
};

struct ModuleDescription {
  std::string_view path;
  std::string_view build_id;  ///< its bytes; "" for none
  uint64_t base;
  uint64_t start;
  uint64_t end;
  uint16_t flags;  ///< kModule…
};

/// For one thread. Numbers of records are those that the ledger's other records refer to; 0 is none, also where there
/// was no room, which is counted in the ledger.
class Composer {
 public:
  explicit Composer(const Writer& writer) : writer_(writer) {}
  ~Composer();
  Composer(const Composer&) = delete;
  Composer& operator=(const Composer&) = delete;

  /// Before the first stack. False: there is no memory for the tables.
  bool prepare(Existing existing);

  void describe(const ProcessDescription& process) const;
  /// The names of the acquiring functions, each NUL-terminated: Site::hook is their index.
  void name_hooks(std::string_view names, uint32_t count) const;

  /// The same description again is the same module.
  uint32_t module(const ModuleDescription& description) const;
  /// The innermost node of a stack, innermost frame first.
  uint32_t stack(std::span<const FrameKey> frames, bool& truncated) {
    return stacks_.make_stack(writer_, frames, truncated);
  }
  /// The site for what has that key, made if needed. Not in a ledger that had sites before.
  uint32_t site(const SiteKey& key, uint64_t now_ns);

  /// Enters an acquisition: the descriptor's, thread's or child's record with a new serial number, and the counts of
  /// its kind and site. nullptr: there is no room.
  FdRecord* add_fd(uint32_t number, FdOrigin origin, uint32_t site, uint64_t now_ns);
  ThreadRecord* add_thread(int32_t tid, ThreadState state, uint32_t site, uint64_t now_ns);
  /// `flags`: kChild…
  ChildRecord* add_child(int32_t pid, uint32_t site, uint64_t now_ns, uint32_t flags = 0);

  /// The descriptor of that record has been closed, at a site that acquires nothing (0: not known): what it was is kept
  /// for whoever closes it again.
  void close_fd(FdRecord& record, uint32_t closed_site, uint32_t closed_tid, uint64_t now_ns) const;
  /// A thread has ended, and nobody has to join it; a child has been waited for. The record is free.
  void end_thread(ThreadRecord& record);
  void end_child(ChildRecord& record);

 private:
  void count(Kind kind, uint32_t site, bool acquired) const;
  template <class Record>
  Record* take_slot(SectionId id, uint64_t& first_free);
  template <class Record>
  void give_slot_back(SectionId id, Record& record, uint64_t& first_free);

  Writer writer_;
  StackTree stacks_;
  SiteTable sites_;
  bool has_stacks_ = false;
  bool has_sites_ = false;
  uint32_t serial_ = 0;
  uint64_t free_thread_ = 0;  ///< a slot's index + 1; free ones have the next in `started_ns`
  uint64_t free_child_ = 0;
};

}  // namespace unfreed::ledger
