// Ledgers put together in memory, for tests: a full layout in sparse private memory, filled through the same Writer
// that the runtime uses.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/composer.h"
#include "ledger/view.h"
#include "ledger/writer.h"

namespace unfreed::test {

/// A frame: module index, offset, flags (ledger::kNodeExactPc).
struct Frame {
  uint32_t module;
  uint64_t offset;
  uint32_t flags = 0;
};

/// `full`: as the runtime lays it out, hundreds of megabytes of address space. `compact`: tables of a few dozen
/// records.
enum class LedgerSize { full, compact };

inline void lay_out(ledger::Header& header, LedgerSize size) {
  ledger::lay_out(header, 1);
  if (size == LedgerSize::full) return;
  auto records = [](ledger::SectionId id) -> uint64_t {
    switch (id) {
      case ledger::SectionId::strings:
        return 8192;
      case ledger::SectionId::fds:
      case ledger::SectionId::kernel_fds:
        return 512;
      case ledger::SectionId::nodes:
        return 256;
      case ledger::SectionId::chunks:
      case ledger::SectionId::chunk_heads:
        return 4;
      default:
        return 64;
    }
  };
  uint64_t offset = ledger::kPageBytes;
  for (size_t index = 0; index < ledger::kSectionCount; ++index) {
    ledger::Section& section = header.sections[index];
    section.offset = offset;
    section.capacity = records(static_cast<ledger::SectionId>(index));
    uint64_t bytes = section.capacity * section.record_bytes;
    offset += (bytes + ledger::kPageBytes - 1) / ledger::kPageBytes * ledger::kPageBytes;
  }
  header.file_bytes = offset;
}

class LedgerBuilder {
 public:
  explicit LedgerBuilder(LedgerSize size = LedgerSize::full) {
    ledger::Header shape{};
    lay_out(shape, size);
    bytes_ = shape.file_bytes;
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    writer_ = ledger::Writer(memory_);
    lay_out(header(), size);
    header().state.store(static_cast<uint32_t>(ledger::State::live));
    composer_ = std::make_unique<ledger::Composer>(writer_);
    composer_->describe({.pid = 4242,
                         .ppid = 4241,
                         .uid = 0,
                         .exe = "/usr/bin/program",
                         .argv = std::string_view("program\0--flag\0", 14),
                         .argv_count = 2,
                         .started_realtime_ns = 1'714'566'896'123'456'789,
                         .started_monotonic_ns = 1'000});
    composer_->name_hooks(std::string_view("open\0malloc\0pthread_create\0fopen", 32), 4);
    header().kinds_tracked = 15;
    for (size_t kind = 0; kind < 4; ++kind) header().coverage[kind] = static_cast<uint8_t>(ledger::Coverage::exact);
  }
  ~LedgerBuilder() {
    composer_.reset();
    munmap(memory_, bytes_);
  }
  LedgerBuilder(const LedgerBuilder&) = delete;
  LedgerBuilder& operator=(const LedgerBuilder&) = delete;

  ledger::Header& header() { return *static_cast<ledger::Header*>(memory_); }
  ledger::Writer& writer() { return writer_; }
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(memory_), bytes_}; }

  /// The view over it; throws with the message when it cannot be opened.
  ledger::View view() const {
    ledger::View result;
    if (const char* fault = ledger::View::open(bytes(), result)) throw std::string(fault);
    return result;
  }

  /// Writes it to a (sparse) file.
  void save(const std::string& path) {
    int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, static_cast<off_t>(bytes_)) != 0) throw std::string("cannot write " + path);
    put(file, 0, ledger::kPageBytes);
    for (size_t index = 0; index < ledger::kSectionCount; ++index) {
      const ledger::Section& section = header().sections[index];
      put(file, section.offset, std::min<uint64_t>(section.count, section.capacity) * section.record_bytes);
    }
    close(file);
  }

  ledger::StringRef text(std::string_view value) { return writer_.add_text(value); }

  uint32_t module(std::string_view path, uint16_t flags = 0, std::string_view build_id = "\x01\x02\x03") {
    uint64_t base = 0x10000 * writer_.section(ledger::SectionId::modules).count;
    return composer_->module({path, build_id, base, base, base + 0x8000, flags});
  }

  /// A stack, innermost frame first; returns its leaf.
  uint32_t stack(std::vector<Frame> frames) {
    if (!has_stacks_ && !composer_->prepare(ledger::Existing::found)) throw std::bad_alloc();
    has_stacks_ = true;
    std::vector<ledger::FrameKey> keys;
    for (const Frame& frame : frames) keys.push_back({frame.module | frame.flags, frame.offset});
    bool truncated = false;
    return composer_->stack(keys, truncated);
  }

  ledger::Site& site(uint32_t index) { return *writer_.at<ledger::Site>(ledger::SectionId::sites, index); }
  /// A site of its own, though there may be one like it.
  uint32_t site(ledger::Kind kind, uint16_t hook, uint32_t leaf, uint8_t flags = 0) {
    uint64_t index = 0;
    auto* site = placed(writer_.append<ledger::Site>(ledger::SectionId::sites, index));
    site->kind = static_cast<uint8_t>(kind);
    site->hook = hook;
    site->node = leaf;
    site->flags = flags;
    return static_cast<uint32_t>(index);
  }

  /// A heap site's counters.
  void blocks(uint32_t index, uint64_t acquired, uint64_t released, uint64_t acquired_bytes, uint64_t released_bytes) {
    ledger::Site& counters = site(index);
    counters.acquired += acquired;
    counters.released += released;
    counters.acquired_bytes += acquired_bytes;
    counters.released_bytes += released_bytes;
  }

  /// A descriptor in the table, as its hooks would record it.
  void table_fd(uint32_t number, ledger::FdOrigin origin, uint32_t site_index = 0) {
    placed(composer_->add_fd(number, origin, site_index, 2'001 + fds_++))->tid = 4243;
  }

  /// A descriptor as the kernel lists it.
  void kernel_fd(int32_t number, std::string_view target, uint32_t status_flags = 0, bool cloexec = false) {
    uint64_t index = 0;
    auto* record = placed(writer_.append<ledger::KernelFd>(ledger::SectionId::kernel_fds, index));
    *record = {number, status_flags, cloexec ? ledger::kKernelFdCloexec : 0, text(target)};
    header().flags.fetch_or(ledger::kHeaderFlagReconciled);
    header().reconciled_monotonic_ns = 1'000'000;
  }
  /// Both at once: what a descriptor that is open and known looks like.
  void open_fd(uint32_t number, ledger::FdOrigin origin, uint32_t site_index, std::string_view target) {
    table_fd(number, origin, site_index);
    kernel_fd(static_cast<int32_t>(number), target);
  }

  ledger::ThreadRecord& thread(uint32_t site_index, ledger::ThreadState state, uint32_t flags = 0,
                               std::string_view name = "worker") {
    uint64_t index = writer_.section(ledger::SectionId::threads).count;
    auto* record = placed(composer_->add_thread(static_cast<int32_t>(5000 + index), state, site_index, 3'000));
    record->flags = flags;
    record->creator_tid = 4242;
    record->serial = static_cast<uint32_t>(index + 1);
    record->finished_ns = state == ledger::ThreadState::finished ? 4'000 : 0;
    name.copy(record->name, sizeof record->name - 1);
    return *record;
  }

  ledger::Failure& failure(uint16_t hook, uint16_t error, uint32_t leaf, uint64_t count) {
    uint64_t index = 0;
    auto* record = placed(writer_.append<ledger::Failure>(ledger::SectionId::failures, index));
    record->hook = hook;
    record->error = error;
    record->node = leaf;
    record->count = count;
    record->first_ns = 500'001'000;
    record->live_then = 1021;
    record->tid = 4243;
    return *record;
  }

  ledger::ChildRecord& child(uint32_t site_index, int32_t pid) {
    auto* record = placed(composer_->add_child(pid, site_index, 3'500));
    record->creator_tid = 4242;
    return *record;
  }

  /// A thread or a child as the kernel lists it.
  void kernel_task(int32_t id, bool is_child, char state, std::string_view name = "task") {
    uint64_t index = 0;
    auto* record = placed(writer_.append<ledger::KernelTask>(ledger::SectionId::kernel_tasks, index));
    *record = {id, is_child, state, 0, 0, {}};
    name.copy(record->name, sizeof record->name - 1);
    header().flags.fetch_or(is_child ? ledger::kHeaderFlagChildrenListed : ledger::kHeaderFlagThreadsListed);
    header().reconciled_monotonic_ns = 1'000'000;
  }

  ledger::Misuse& misuse(ledger::MisuseKind kind, int32_t fd, uint64_t count, uint32_t site_index) {
    uint64_t index = 0;
    auto* record = placed(writer_.append<ledger::Misuse>(ledger::SectionId::misuses, index));
    record->kind = static_cast<uint8_t>(kind);
    record->fd = fd;
    record->count = count;
    record->site = site_index;
    record->tid = 4242;
    record->first_ns = 7'000;
    return *record;
  }

  ledger::ExecLeak& exec_leak(uint32_t site_index, int32_t fd, uint64_t count, std::string_view program) {
    uint64_t index = 0;
    auto* record = placed(writer_.append<ledger::ExecLeak>(ledger::SectionId::exec_leaks, index));
    record->state = ledger::kExecLeakValid;
    record->fd = fd;
    record->site = site_index;
    record->count = count;
    record->caller_pid = 4300;
    program.copy(record->program, sizeof record->program - 1);
    return *record;
  }

  /// One thread's counter deltas for the block of sites that `site_index` lies in.
  ledger::Chunk& chunk(uint32_t site_index) {
    uint64_t index = 0;
    auto* head = placed(writer_.append<ledger::ChunkHead>(ledger::SectionId::chunk_heads, index));
    head->base = site_index / ledger::kChunkCells + 1;
    writer_.section(ledger::SectionId::chunks).count = index + 1;
    return *placed(writer_.touch<ledger::Chunk>(ledger::SectionId::chunks, index));
  }

 private:
  template <class T>
  static T* placed(T* record) {
    if (!record) throw std::bad_alloc();
    return record;
  }

  void put(int file, uint64_t offset, uint64_t size) const {
    const char* start = static_cast<const char*>(memory_) + offset;
    if (pwrite(file, start, size, static_cast<off_t>(offset)) != static_cast<ssize_t>(size))
      throw std::string("cannot write a ledger");
  }

  void* memory_ = nullptr;
  size_t bytes_ = 0;
  ledger::Writer writer_;
  std::unique_ptr<ledger::Composer> composer_;
  bool has_stacks_ = false;
  uint64_t fds_ = 0;
};

}  // namespace unfreed::test
