#include "unwind/objects.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <ctime>

#include "base/syscall.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/loader_list.h"
#include "unwind/walk.h"

namespace unfreed::unwind {

namespace {

// glibc's struct dl_find_object (2.35), declared here so that the runtime also builds and loads with older headers.
struct FoundObject {
  unsigned long long flags;
  void* map_start;
  void* map_end;
  link_map* map;
  void* eh_frame;
  unsigned long long reserved[7];
};
using FindObject = int (*)(void*, FoundObject*);
FindObject g_find_object;

const ElfW(Ehdr) * header_at(uintptr_t address) {
  auto* header = reinterpret_cast<const ElfW(Ehdr)*>(address);
  return std::memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 ? header : nullptr;
}

struct Headers {
  const ElfW(Phdr) * first = nullptr;
  size_t count = 0;
};

/// Those of an object whose ELF header may lie at `start`, where `bytes` can be read.
Headers program_headers_at(uintptr_t start, size_t bytes) {
  if (bytes < sizeof(ElfW(Ehdr))) return {};
  auto* header = header_at(start);
  if (!header || header->e_phentsize != sizeof(ElfW(Phdr))) return {};
  uint64_t end = header->e_phoff + uint64_t{header->e_phnum} * sizeof(ElfW(Phdr));
  if (end > 4096 || end > bytes) return {};
  return {reinterpret_cast<const ElfW(Phdr)*>(start + header->e_phoff), header->e_phnum};
}

Headers program_headers(const Object& object) {
  return program_headers_at(object.image.low, object.image.high - object.image.low);
}

/// `start`: where its memory begins, as the loader says; 0 if it does not.
Headers program_headers_of(const link_map* map, uintptr_t start) {
  if (map == loader_list().r_map)  // the executable: the kernel said where its headers are
    return {reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR)), getauxval(AT_PHNUM)};
  constexpr size_t kPageBytes = 4096;
  Headers headers = start ? program_headers_at(start, kPageBytes) : Headers{};
  if (headers.count) return headers;
  // The load bias is where most objects begin. Of one that was linked to lie somewhere there may be nothing.
  bool may_begin =
      map->l_addr && map->l_addr % kPageBytes == 0 && base::can_read(reinterpret_cast<const void*>(map->l_addr));
  return may_begin ? program_headers_at(map->l_addr, kPageBytes) : Headers{};
}

}  // namespace

bool describe_object(const link_map& map, uintptr_t start, Object& out) {
  Headers headers = program_headers_of(&map, start);
  out = {};
  out.image.low = ~uintptr_t{0};
  for (size_t i = 0; i < headers.count; ++i) {
    const ElfW(Phdr)& segment = headers.first[i];
    uintptr_t low = map.l_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) {
      out.image.low = std::min(out.image.low, low & ~uintptr_t{4095});
      out.image.high = std::max(out.image.high, low + segment.p_memsz);
    } else if (segment.p_type == PT_GNU_EH_FRAME) {
      out.eh_frame_hdr = low;
    }
  }
  out.bias = map.l_addr;
  out.name = map.l_name ? map.l_name : "";
  return out.image.low < out.image.high;
}

namespace {

#ifndef __GLIBC__
/// The objects that the program was started with, which stay where they are. Words on the stack are looked up by the
/// dozen to find the way out of musl's libc (walk.cpp); asking the kernel about each would take a tenth of a
/// millisecond.
struct FirstObjects {
  static constexpr size_t kMost = 256;
  Object of[kMost];
  size_t count = 0;
  const link_map* last = nullptr;  ///< nullptr: they are not known

  /// Before there are other threads.
  void note() {
    count = 0;
    for (const link_map* map = loader_list().r_map; map && count < kMost; map = map->l_next)
      if (describe_object(*map, 0, of[count])) last = map, ++count;
  }
  /// The only ones so far?
  bool are_all() const { return last && !last->l_next; }
  bool find(uintptr_t pc, Object& out) const {
    for (size_t i = 0; i < count; ++i) {
      if (pc < of[i].image.low || pc >= of[i].image.high) continue;
      out = of[i];
      return true;
    }
    return false;
  }
};
constinit FirstObjects g_first_objects{};
#endif

/// Without _dl_find_object: the loader's own list. Read without its lock, while nothing is taken off it. What the
/// loader adds to its end has been mapped by then, and may call hooks before the loader is done (a constructor).
bool search_link_maps(uintptr_t pc, Object& out) {
#ifndef __GLIBC__
  if (g_first_objects.find(pc, out)) return true;
  if (g_first_objects.are_all()) return false;
#endif
  if (loader_list().r_state == r_debug::RT_DELETE) return false;
  auto holds = [&](const link_map* map) {
    return describe_object(*map, 0, out) && pc >= out.image.low && pc < out.image.high;
  };
  const link_map* likely = nullptr;  // the one that begins last before it
  int budget = 4096;
  for (const link_map* map = loader_list().r_map; map && --budget; map = map->l_next)
    if (map->l_addr <= pc && (!likely || map->l_addr > likely->l_addr)) likely = map;
  if (likely && holds(likely)) return true;
  for (const link_map* map = loader_list().r_map; map && --budget > 0; map = map->l_next)
    if (holds(map)) return true;
  return false;
}

ObjectFinder g_finder;

}  // namespace

void set_object_finder(ObjectFinder finder) { g_finder = finder; }

void prepare_objects(bool use_loader) {
  Definition found = use_loader ? find_default("_dl_find_object", loader_list().r_map) : Definition{};
  g_find_object = found ? reinterpret_cast<FindObject>(found.address()) : nullptr;
#ifndef __GLIBC__
  g_first_objects.note();
#endif
}

namespace {

/// The threads that are in the middle of something.
class ThreadsAtWork {
 public:
  /// −1: there are too many.
  int enter(int32_t tid) {
    for (int place = 0; place < kMost; ++place) {
      int32_t none = 0;
      if (tids_[place].compare_exchange_strong(none, tid, std::memory_order_seq_cst)) return place;
    }
    return -1;
  }
  void leave(int place) {
    if (place >= 0) tids_[place].store(0, std::memory_order_seq_cst);
  }
  /// Is another thread than `tid` among them? One that has ended in the middle is none of them any more.
  bool has_other(int32_t tid) {
    for (auto& one : tids_) {
      int32_t other = one.load(std::memory_order_seq_cst);
      if (!other || other == tid) continue;
      if (base::raw_syscall(SYS_tgkill, base::current_pid(), other, 0) != -ESRCH) return true;
      one.compare_exchange_strong(other, 0, std::memory_order_seq_cst);
    }
    return false;
  }
  void clear() {
    for (auto& one : tids_) one.store(0, std::memory_order_seq_cst);
  }

 private:
  static constexpr int kMost = 64;
  std::atomic<int32_t> tids_[kMost];
};

constinit ThreadsAtWork g_unloading;
constinit ThreadsAtWork g_reading;

}  // namespace

int begin_reading_foreign_code() {
  int32_t tid = base::current_tid();
  int place = g_reading.enter(tid);
  if (place < 0 || !g_unloading.has_other(tid)) return place;
  g_reading.leave(place);
  return -1;
}
void end_reading_foreign_code(int place) { g_reading.leave(place); }

int begin_unloading() {
  // A reading takes a fraction of this; one that takes longer was left in the middle, by a jump out of a signal
  // handler.
  constexpr int kPatienceMs = 100;
  int32_t tid = base::current_tid();
  int place = g_unloading.enter(tid);
  for (int waited = 0; g_reading.has_other(tid); ++waited) {
    if (waited == kPatienceMs) g_reading.clear();
    timespec moment{0, 1'000'000};
    base::raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&moment), 0);
  }
  return place;
}
void end_unloading(int place) { g_unloading.leave(place); }

void reset_unloading_after_fork() {
  g_unloading.clear();
  g_reading.clear();
}

bool find_object(uintptr_t pc, Object& out) {
  if (g_finder) return g_finder(pc, out);
  if (!g_find_object) return search_link_maps(pc, out);
  FoundObject found;
  if (g_find_object(reinterpret_cast<void*>(pc), &found) != 0 || !found.map) return false;
  // The loader unloads some objects past dlclose (iconv's, name services'), and may give the record to another then.
  bool is_same = out.map == found.map && out.bias == found.map->l_addr &&
                 out.eh_frame_hdr == reinterpret_cast<uintptr_t>(found.eh_frame);
  if (is_same) {
    out.name = found.map->l_name ? found.map->l_name : "";
    return true;
  }
  // What the loader names is the whole object, or, of one with gaps between its segments, only the code: the headers
  // say more.
  auto start = reinterpret_cast<uintptr_t>(found.map_start);
  if (!describe_object(*found.map, start, out)) {
    out = {};
    out.image = {start, reinterpret_cast<uintptr_t>(found.map_end)};
    out.bias = found.map->l_addr;
    out.eh_frame_hdr = reinterpret_cast<uintptr_t>(found.eh_frame);
    out.name = found.map->l_name ? found.map->l_name : "";
  }
  out.map = found.map;
  return true;
}

bool any_object(bool (*visit)(void* context, const Object& object), void* context) {
  int budget = 4096;
  for (const link_map* map = loader_list().r_map; map && --budget; map = map->l_next) {
    if (loader_list().r_state != r_debug::RT_CONSISTENT) return false;
    Object object;
    bool is_found = map->l_ld && find_object(reinterpret_cast<uintptr_t>(map->l_ld), object);
    if (is_found && visit(context, object)) return true;
  }
  return false;
}

bool is_outermost(uintptr_t pc, const Object& object) {
  if (object.shift) return false;  // where another process began is not known
  [[maybe_unused]] static const uintptr_t entry = getauxval(AT_ENTRY), loader = getauxval(AT_BASE);
  constexpr uintptr_t kMostEntryBytes = 64;
#ifdef __GLIBC__
  bool is_loader = object.image.low == loader;
#else
  bool is_loader = false;  // musl's is libc, too
#endif
  return is_loader || (pc >= entry && pc - entry < kMostEntryBytes);
}

bool is_readable(const Object& object, uintptr_t address, size_t bytes) {
  Headers headers = program_headers(object);
  for (size_t i = 0; i < headers.count; ++i) {
    const ElfW(Phdr)& segment = headers.first[i];
    uintptr_t offset = address - object.bias - segment.p_vaddr;
    bool holds = segment.p_type == PT_LOAD && segment.p_flags & PF_R;
    if (holds && offset <= segment.p_memsz && segment.p_memsz - offset >= bytes) return true;
  }
  return false;
}

bool find_segment(const Object& object, uintptr_t address, Segment& out) {
  constexpr uintptr_t kPage = ~uintptr_t{4095};
  Headers headers = program_headers(object);
  out = {};
  for (size_t i = 0; i < headers.count; ++i) {
    const ElfW(Phdr)& segment = headers.first[i];
    uintptr_t low = (object.bias + segment.p_vaddr) & kPage, end = object.bias + segment.p_vaddr + segment.p_memsz;
    // The loader protects the whole pages of what is read only once it is relocated, which is the beginning of a
    // segment. Its header follows the segments'.
    if (segment.p_type == PT_GNU_RELRO && low >= out.low && low < out.high) {
      uintptr_t bound = end & kPage;
      out = address < bound ? Segment{low, bound, PROT_READ} : Segment{bound, out.high, out.protection};
    }
    if (segment.p_type != PT_LOAD || address < low || address >= end) continue;
    int protection = (segment.p_flags & PF_R ? PROT_READ : 0) | (segment.p_flags & PF_W ? PROT_WRITE : 0) |
                     (segment.p_flags & PF_X ? PROT_EXEC : 0);
    out = {low, (end + ~kPage) & kPage, protection};
  }
  return out.low < out.high;
}

bool thread_local_segment(const Object& object, ElfW(Phdr) & out) {
  Headers headers = program_headers(object);
  for (size_t i = 0; i < headers.count; ++i) {
    if (headers.first[i].p_type != PT_TLS) continue;
    out = headers.first[i];
    return true;
  }
  return false;
}

size_t thread_local_bytes(const Object& object) {
  ElfW(Phdr) segment;
  if (!thread_local_segment(object, segment)) return 0;
  size_t alignment = segment.p_align ? segment.p_align : 1;
  return (segment.p_memsz + alignment - 1) / alignment * alignment;
}

const ElfW(Dyn) * dynamic_section(const Object& object) {
  if (object.map) return static_cast<const link_map*>(object.map)->l_ld;
  Headers headers = program_headers(object);
  for (size_t i = 0; i < headers.count; ++i)
    if (headers.first[i].p_type == PT_DYNAMIC)
      return reinterpret_cast<const ElfW(Dyn)*>(object.bias + headers.first[i].p_vaddr);
  return nullptr;
}

std::span<const uint8_t> find_note(const Object& object, std::string_view owner, uint32_t type) {
  Headers headers = program_headers(object);
  for (size_t i = 0; i < headers.count; ++i) {
    const ElfW(Phdr)& segment = headers.first[i];
    if (segment.p_type != PT_NOTE) continue;
    uintptr_t at = object.bias + segment.p_vaddr;
    uintptr_t end = at + segment.p_memsz;
    if (at < object.image.low || end > object.image.high || end < at) continue;
    while (end - at >= sizeof(ElfW(Nhdr))) {
      auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
      uint64_t name_bytes = (uint64_t{note->n_namesz} + 3) & ~uint64_t{3};
      uint64_t value_bytes = (uint64_t{note->n_descsz} + 3) & ~uint64_t{3};
      uintptr_t name = at + sizeof *note;
      if (name_bytes > end - name || value_bytes > end - name - name_bytes) break;
      // A name's size counts its NUL, and Go's the padding behind it.
      auto* text = reinterpret_cast<const char*>(name);
      bool is_owner =
          note->n_namesz > owner.size() && std::string_view(text, owner.size()) == owner && !text[owner.size()];
      if (is_owner && note->n_type == type)
        return {reinterpret_cast<const uint8_t*>(name + name_bytes), note->n_descsz};
      at = name + name_bytes + value_bytes;
    }
  }
  return {};
}

size_t read_build_id(const Object& object, uint8_t* out, size_t capacity) {
  std::span<const uint8_t> id = find_note(object, "GNU", NT_GNU_BUILD_ID);
  size_t size = std::min(id.size(), capacity);
  if (size) std::memcpy(out, id.data(), size);
  return size;
}

bool is_go(const Object& object) {
  constexpr uint32_t kBuildId = 4;
  return !find_note(object, "Go", kBuildId).empty();
}

}  // namespace unfreed::unwind
