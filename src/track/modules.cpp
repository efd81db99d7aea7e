#include "track/modules.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <span>
#include <string_view>

#include "base/lock.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "base/text.h"
#include "elf/program.h"
#include "elf/runtime_library.h"
#include "track/python_frames.h"
#include "track/tracker.h"

namespace unfreed::track {

constinit std::atomic<uint32_t> g_module_count;

using base::base_name;
using ledger::Module;
using ledger::SectionId;

namespace {

constexpr uint32_t kMostModules = 4096;

/// What look-ups read; appended under the lock, published by g_module_count.
struct Known {
  uintptr_t low = 0;
  uintptr_t high = 0;
  uintptr_t bias = 0;
  uint32_t number = 0;
  std::atomic<uint32_t> generation{};  ///< of the address space's code when last seen to be this object
  bool system = false;
  bool libc = false;
  bool loader = false;
  bool allocator = false;
};
Known* g_known;
constinit base::GrowingMemory g_known_memory;
constinit std::atomic<uint32_t> g_generation;
constinit std::atomic<uint32_t> g_cxx_module;
constinit base::Lock g_lock;

struct Identity {
  char path[1024];
  size_t path_bytes;
  uint8_t build_id[32];
  size_t build_id_bytes;
};

void identify(const unwind::Object& object, Identity& identity) {
  std::string_view name = object.name;
  if (name.empty()) {
    // The loader leaves the executable's name empty.
    name = g_tracker.writer.at<char>(SectionId::strings, g_tracker.writer.header().exe);
  }
  identity.path_bytes = name.size() < sizeof identity.path ? name.size() : sizeof identity.path;
  std::memcpy(identity.path, name.data(), identity.path_bytes);
  identity.build_id_bytes = unwind::read_build_id(object, identity.build_id, sizeof identity.build_id);
}

/// A library that was found in a folder named relatively (LD_LIBRARY_PATH=., a relative RUNPATH,
/// dlopen("./plugin.so")). The loader keeps its name as it was found; the vDSO's has no folder at all.
bool is_relative(std::string_view name) { return name.find('/') != name.npos && name[0] != '/'; }
std::string_view without_dot(std::string_view name) { return name.substr(name.starts_with("./") ? 2 : 0); }

/// `folder` and the name, if that is a file.
bool find_in(std::string_view folder, std::string_view name, std::span<char> out) {
  base::TextBuilder path(out);
  path.add(folder).add('/').add(without_dot(name));
  return !folder.empty() && !path.cut() &&
         base::raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>(out.data()), F_OK) == 0;
}

/// An absolute name, in the folder where the process began or in the one where it is now. The lock is held.
std::string_view absolute_name(std::string_view name) {
  if (!is_relative(name)) return name;
  static char path[sizeof(Identity::path)];
  static char folder[sizeof(Identity::path)];
  const ledger::Writer& writer = g_tracker.writer;
  bool is_found = find_in(writer.at<char>(SectionId::strings, writer.header().directory), name, path) ||
                  find_in(base::current_directory(folder), name, path);
  return is_found ? std::string_view(path) : name;
}

bool is_record_of(const Module* module, const unwind::Object& object, const Identity& identity) {
  if (module->start != object.image.low || module->end != object.image.high || module->base != object.bias)
    return false;
  std::string_view path = g_tracker.writer.at<char>(SectionId::strings, module->path);
  std::string_view name(identity.path, identity.path_bytes);
  bool is_its_path = path == name || (is_relative(name) && path.ends_with(without_dot(name)));
  return is_its_path && module->build_id_bytes == identity.build_id_bytes &&
         std::memcmp(module->build_id, identity.build_id, identity.build_id_bytes) == 0;
}

bool same_object(const Known& known, const unwind::Object& object, const Identity& identity) {
  return is_record_of(g_tracker.writer.at<Module>(SectionId::modules, known.number), object, identity);
}

/// The number of a record that is there already: made in a copy of this process, to say what keeps blocks alive. 0:
/// none.
uint64_t find_record(const unwind::Object& object, const Identity& identity) {
  const ledger::Writer& writer = g_tracker.writer;
  uint64_t count = writer.section(SectionId::modules).count.load(std::memory_order_acquire);
  for (uint64_t number = count < kMostModules ? count : kMostModules; number-- > 1;) {
    const auto* module = writer.touch<Module>(SectionId::modules, number);
    if (module && is_record_of(module, object, identity)) return number;
  }
  return 0;
}

const Known* look_up(const unwind::Object& object) {
  uint32_t generation = g_generation.load(std::memory_order_relaxed);
  uint32_t count = g_module_count.load(std::memory_order_acquire);
  for (uint32_t i = count; i-- > 0;) {
    const Known& known = g_known[i];
    if (known.low == object.image.low && known.high == object.image.high &&
        known.generation.load(std::memory_order_relaxed) == generation)
      return &known;
  }
  return nullptr;
}

/// Makes a record in the ledger; its number, or 0 if there is no room.
uint64_t write_record(const unwind::Object& object, const Identity& identity) {
  uint64_t number = 0;
  const ledger::Writer& writer = g_tracker.writer;
  auto* module = writer.append<Module>(SectionId::modules, number);
  if (!module) return 0;
  module->base = object.bias;
  module->start = object.image.low;
  module->end = object.image.high;
  module->path = writer.add_text(absolute_name({identity.path, identity.path_bytes}));
  module->build_id_bytes = static_cast<uint16_t>(identity.build_id_bytes);
  std::memcpy(module->build_id, identity.build_id, identity.build_id_bytes);
  auto here = reinterpret_cast<uintptr_t>(&write_record);
  module->flags = *object.name == '\0' ? ledger::kModuleMain : uint16_t{0};
  if (here >= object.image.low && here < object.image.high) module->flags |= ledger::kModuleRuntime;
  return number;
}

uint32_t record(const unwind::Object& object, const Identity& identity) {
  uint32_t index = g_module_count.load(std::memory_order_relaxed);
  bool has_room = index < kMostModules && g_known_memory.grow_to((index + 1) * sizeof(Known));
  uint64_t number = has_room ? find_record(object, identity) : 0;
  if (has_room && !number) number = write_record(object, identity);
  if (!number) {
    g_tracker.writer.drop(ledger::Dropped::modules_full);
    return 0;
  }
  std::string_view path(identity.path, identity.path_bytes);
  Known& known = g_known[index];
  known.low = object.image.low;
  known.high = object.image.high;
  known.bias = object.bias;
  known.number = static_cast<uint32_t>(number);
  elf::RuntimeLibrary library = elf::runtime_library(base_name(path));
  known.system = library != elf::RuntimeLibrary::none;
  known.loader = library == elf::RuntimeLibrary::loader;
  known.libc = known.loader || library == elf::RuntimeLibrary::libc;
  known.allocator = !elf::allocator_library(base_name(path)).empty();
  if (library == elf::RuntimeLibrary::cxx) g_cxx_module.store(known.number, std::memory_order_relaxed);
  note_interpreter(object, known.number, path);
  known.generation.store(g_generation.load(std::memory_order_relaxed), std::memory_order_relaxed);
  g_module_count.store(index + 1, std::memory_order_release);
  forget_remembered_stacks();
  return known.number;
}

const Known* known_by_number(uint32_t number) {
  uint32_t count = g_module_count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i)
    if (g_known[i].number == number) return &g_known[i];
  return nullptr;
}

}  // namespace

uint32_t module_number(const unwind::Object& object) {
  if (const Known* known = look_up(object)) return known->number;
  base::Hold hold(g_lock);
  if (const Known* known = look_up(object)) return known->number;
  static Identity identity;  // too large for a small stack; the lock is held
  identify(object, identity);
  uint32_t count = g_module_count.load(std::memory_order_relaxed);
  for (uint32_t i = count; i-- > 0;) {
    if (!same_object(g_known[i], object, identity)) continue;
    g_known[i].generation.store(g_generation.load(std::memory_order_relaxed), std::memory_order_relaxed);
    note_interpreter(object, g_known[i].number, {identity.path, identity.path_bytes});
    return g_known[i].number;
  }
  return record(object, identity);
}

void forget_modules() {
  forget_interpreter();
  g_generation.fetch_add(1, std::memory_order_relaxed);
  forget_remembered_stacks();
}

bool is_system_module(uint32_t number) {
  const Known* known = known_by_number(number);
  return known && known->system;
}
bool is_libc_module(uint32_t number) {
  const Known* known = known_by_number(number);
  return known && known->libc;
}
bool is_loader_module(uint32_t number) {
  const Known* known = known_by_number(number);
  return known && known->loader;
}
bool is_allocator_module(uint32_t number) {
  const Known* known = known_by_number(number);
  return known && known->allocator;
}
bool is_cxx_module(uint32_t number) { return number && number == g_cxx_module.load(std::memory_order_relaxed); }

bool prepare_modules() {
  bool is_prepared = g_known_memory.prepare(kMostModules * sizeof(Known));
  g_known = static_cast<Known*>(g_known_memory.start());
  return is_prepared;
}

void reset_modules_after_fork() {
  g_lock.reset();
  g_known_memory.reset_lock_after_fork();
}

}  // namespace unfreed::track
