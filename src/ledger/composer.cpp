#include "ledger/composer.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace unfreed::ledger {

namespace {

uint32_t count_of(const Writer& writer, SectionId id) {
  const Section& table = writer.section(id);
  return static_cast<uint32_t>(std::min(table.count.load(std::memory_order_acquire), table.capacity));
}

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

void Composer::count_acquired(Kind kind, uint32_t site) const {
  writer_.header().totals[static_cast<size_t>(kind)].acquired.fetch_add(1, std::memory_order_relaxed);
  if (site != 0) writer_.at<Site>(SectionId::sites, site)->acquired.fetch_add(1, std::memory_order_relaxed);
}

FdRecord* Composer::add_fd(uint32_t number, FdOrigin origin, uint32_t site, uint64_t now_ns) {
  auto* record = writer_.touch<FdRecord>(SectionId::fds, number);
  if (!record) return nullptr;
  record->word = fd_word(origin, site, ++serial_);
  record->acquired_ns = now_ns;
  auto& count = writer_.section(SectionId::fds).count;
  if (count <= number) count = number + 1;
  if (origin == FdOrigin::acquired)
    count_acquired(Kind::fd, site);
  else if (site != 0)
    writer_.at<Site>(SectionId::sites, site)->acquired.fetch_add(1, std::memory_order_relaxed);
  return record;
}

ThreadRecord* Composer::add_thread(int32_t tid, ThreadState state, uint32_t site, uint64_t now_ns) {
  uint64_t index = 0;
  auto* record = writer_.append<ThreadRecord>(SectionId::threads, index);
  if (!record) return nullptr;
  record->state = static_cast<uint32_t>(state);
  record->site = site;
  record->tid = tid;
  record->serial = ++serial_;
  record->started_ns = now_ns;
  count_acquired(Kind::thread, site);
  return record;
}

ChildRecord* Composer::add_child(int32_t pid, uint32_t site, uint64_t now_ns) {
  uint64_t index = 0;
  auto* record = writer_.append<ChildRecord>(SectionId::children, index);
  if (!record) return nullptr;
  record->state = static_cast<uint32_t>(ChildState::started);
  record->site = site;
  record->pid = pid;
  record->serial = ++serial_;
  record->started_ns = now_ns;
  count_acquired(Kind::child, site);
  return record;
}

}  // namespace unfreed::ledger
