#include "ledger/composer.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "ledger/counting.h"

namespace unfreed::ledger {

namespace {

uint32_t count_of(const Writer& writer, SectionId id) {
  const Section& table = writer.section(id);
  return static_cast<uint32_t>(std::min(table.count.load(std::memory_order_acquire), table.capacity));
}

bool counts_on_site(FdOrigin origin) { return origin == FdOrigin::acquired || origin == FdOrigin::received; }

}  // namespace

Composer::~Composer() {
  if (has_stacks_) stacks_.give_back();
  if (has_sites_) sites_.give_back();
}

bool Composer::prepare(Existing existing) { return has_stacks_ = stacks_.prepare(writer_, existing); }

void Composer::describe(const ProcessDescription& process) const {
  Header& header = writer_.header();
  header.pid = process.pid;
  header.ppid = process.ppid;
  header.uid = process.uid;
  header.main_tid = process.pid;
  header.exe = writer_.add_text(process.exe);
  header.argv = writer_.add_text(process.argv);
  header.argv_count = process.argv_count;
  header.started_realtime_ns = process.started_realtime_ns;
  header.started_monotonic_ns = process.started_monotonic_ns;
}

void Composer::name_hooks(std::string_view names, uint32_t count) const {
  writer_.header().hook_names = writer_.add_text(names);
  writer_.header().hook_count = count;
}

uint32_t Composer::module(const ModuleDescription& description) const {
  std::string_view id = base::slice(description.build_id, 0, sizeof Module::build_id);
  for (uint32_t number = 1; number < count_of(writer_, SectionId::modules); ++number) {
    const Module* known = writer_.known<Module>(SectionId::modules, number);
    if (known && known->base == description.base && known->start == description.start &&
        known->end == description.end &&
        std::string_view(writer_.at<char>(SectionId::strings, known->path)) == description.path &&
        std::string_view(reinterpret_cast<const char*>(known->build_id), known->build_id_bytes) == id)
      return number;
  }
  uint64_t number = 0;
  auto* module = writer_.append<Module>(SectionId::modules, number);
  if (!module) {
    writer_.drop(Dropped::modules_full);
    return 0;
  }
  module->base = description.base;
  module->start = description.start;
  module->end = description.end;
  module->path = writer_.add_text(description.path);
  module->flags = description.flags;
  module->build_id_bytes = static_cast<uint16_t>(id.size());
  std::memcpy(module->build_id, id.data(), id.size());
  return static_cast<uint32_t>(number);
}

uint32_t Composer::site(const SiteKey& key, uint64_t now_ns) {
  if (!has_sites_) has_sites_ = sites_.prepare(writer_);
  return has_sites_ ? sites_.make(writer_, stacks_, key, 0, now_ns) : 0;
}

void Composer::count(Kind kind, uint32_t site, bool acquired) const {
  KindTotals& totals = writer_.header().totals[static_cast<size_t>(kind)];
  Site none{};
  Site& counts = site ? *writer_.at<Site>(SectionId::sites, site) : none;
  if (acquired)
    count_acquired(totals, counts);
  else
    count_released(totals, counts);
}

FdRecord* Composer::add_fd(uint32_t number, FdOrigin origin, uint32_t site, uint64_t now_ns) {
  auto* record = writer_.touch<FdRecord>(SectionId::fds, number);
  if (!record) return nullptr;
  record->word = fd_word(origin, site, ++serial_);
  record->acquired_ns = now_ns;
  auto& known = writer_.section(SectionId::fds).count;
  if (known <= number) known = number + 1;
  if (counts_on_site(origin)) count(Kind::fd, site, true);
  return record;
}

void Composer::close_fd(FdRecord& record, uint32_t closed_site, uint32_t closed_tid, uint64_t now_ns) const {
  uint64_t word = record.word.load(std::memory_order_relaxed);
  if (!word) return;
  ClosedFd& closed = record.closed;
  if (uint64_t before = closed.word.load(std::memory_order_relaxed)) {
    std::memcpy(static_cast<void*>(&record.before), &closed, sizeof closed);
    record.before.word.store(before, std::memory_order_release);
  }
  closed.acquired_ns = record.acquired_ns;
  closed.closed_ns = std::max(now_ns, record.acquired_ns);
  closed.left_owner = 0;
  closed.tid = record.tid;
  closed.closed_site = closed_site;
  closed.closed_tid = closed_tid;
  closed.word.store(word, std::memory_order_release);
  record.word.store(0, std::memory_order_release);
  if (counts_on_site(fd_origin(word))) count(Kind::fd, fd_site(word), false);
}

/// A free slot, or a new one.
template <class Record>
Record* Composer::take_slot(SectionId id, uint64_t& first_free) {
  uint64_t index = 0;
  if (!first_free) return writer_.append<Record>(id, index);
  auto* record = writer_.at<Record>(id, first_free - 1);
  first_free = record->started_ns;
  return record;
}

template <class Record>
void Composer::give_slot_back(SectionId id, Record& record, uint64_t& first_free) {
  record.state.store(0, std::memory_order_release);
  record.started_ns = first_free;
  first_free = static_cast<uint64_t>(&record - writer_.at<Record>(id, 0)) + 1;
}

ThreadRecord* Composer::add_thread(int32_t tid, ThreadState state, uint32_t site, uint64_t now_ns) {
  auto* record = take_slot<ThreadRecord>(SectionId::threads, free_thread_);
  if (!record) return nullptr;
  record->site = site;
  record->tid = tid;
  record->serial = ++serial_;
  record->started_ns = now_ns;
  record->flags.store(0, std::memory_order_relaxed);
  record->state.store(static_cast<uint32_t>(state), std::memory_order_release);
  count(Kind::thread, site, true);
  return record;
}

ChildRecord* Composer::add_child(int32_t pid, uint32_t site, uint64_t now_ns, uint32_t flags) {
  auto* record = take_slot<ChildRecord>(SectionId::children, free_child_);
  if (!record) return nullptr;
  record->flags = flags;
  record->site = site;
  record->pid = pid;
  record->serial = ++serial_;
  record->started_ns = now_ns;
  record->state.store(static_cast<uint32_t>(ChildState::started), std::memory_order_release);
  if (!(flags & kChildInherited)) count(Kind::child, site, true);
  return record;
}

void Composer::end_thread(ThreadRecord& record) {
  count(Kind::thread, record.site, false);
  give_slot_back(SectionId::threads, record, free_thread_);
}

void Composer::end_child(ChildRecord& record) {
  if (!(record.flags & kChildInherited)) count(Kind::child, record.site, false);
  give_slot_back(SectionId::children, record, free_child_);
}

}  // namespace unfreed::ledger
