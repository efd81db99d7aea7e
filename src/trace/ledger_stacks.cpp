#include "trace/ledger_stacks.h"

#include <algorithm>
#include <map>
#include <string>

#include "base/syscall.h"

namespace unfreed::trace {

uint32_t LedgerStacks::module(uint32_t number) {
  if (numbers_.size() < code_.modules().size()) numbers_.resize(code_.modules().size());
  uint32_t& known = numbers_[number - 1];
  const CodeModule& module = code_.modules()[number - 1];
  if (!known)
    known = composer_.module({module.path, module.build_id, module.base, module.start, module.end,
                              module.is_main ? ledger::kModuleMain : uint16_t{0}});
  return known;
}

uint32_t LedgerStacks::node(std::span<const CodeFrame> frames, bool& truncated) {
  std::vector<ledger::FrameKey> keys;
  keys.reserve(frames.size());
  for (const CodeFrame& frame : frames) {
    uint32_t number = frame.module ? module(frame.module) : 0;
    uint64_t base = frame.module && !number ? code_.modules()[frame.module - 1].base : 0;
    keys.push_back({number | (frame.exact_pc ? ledger::kNodeExactPc : 0), frame.offset + base});
  }
  return composer_.stack(keys, truncated);
}

void take_goroutines(LedgerStacks& stacks, const ledger::Writer& writer, int tid, size_t most_frames) {
  if (!stacks.code().is_go()) return;
  ledger::Header& header = writer.header();
  std::vector<GoRoutine> routines;
  bool is_known = stacks.code().go_runtime().list(tid, routines);
  writer.section(ledger::SectionId::goroutines).count.store(0, std::memory_order_relaxed);
  header.no_goroutines = is_known ? 0 : writer.add_text(stacks.code().go_runtime().reason());
  std::map<uint8_t, ledger::StringRef> reasons;
  for (const GoRoutine& one : routines) {
    uint64_t index = 0;
    auto* record = writer.append<ledger::GoroutineRecord>(ledger::SectionId::goroutines, index);
    if (!record) {
      writer.drop(ledger::Dropped::goroutines_full);
      continue;
    }
    *record = {};
    record->id = one.id;
    record->creator = one.creator;
    record->waiting_since_ns = one.waiting_since_ns > 0 ? static_cast<uint64_t>(one.waiting_since_ns) : 0;
    record->state = static_cast<uint8_t>(one.status);
    bool truncated = false;
    CodeFrame created = stacks.code().frame_of(one.created_at, false);
    if (one.created_at) record->created_node = stacks.node({&created, 1}, truncated);
    std::span<const CodeFrame> frames = stacks.code().stack_of(tid, one, most_frames, truncated);
    if (!frames.empty()) record->node = stacks.node(frames, truncated);
    record->truncated = truncated;
    if (record->state != static_cast<uint8_t>(ledger::GoroutineState::waiting)) {
      record->waiting_since_ns = 0;
      continue;
    }
    auto [reason, is_new] = reasons.try_emplace(one.wait_reason, 0);
    if (is_new)
      if (std::string text = stacks.code().go_runtime().wait_reason(tid, one.wait_reason); !text.empty())
        reason->second = writer.add_text(text);
    record->wait_reason = reason->second;
  }
}

}  // namespace unfreed::trace
