#include "hook/redirect.h"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <atomic>
#include <optional>

#include "arch/machine.h"
#include "base/lock.h"
#include "base/syscall.h"
#include "hook/own_exports.h"
#include "hook/real.h"
#include "track/tracker.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/loader_list.h"

namespace unfreed::hook {

namespace {

using unwind::DynamicSymbols;

constinit base::Lock g_lock;
constinit std::atomic<bool> g_is_redirected{false};

Interposed g_rows[kHookCount];
/// Rows by the lowest bits of an address, which nearly all other functions have not in common: 0 is none, else row + 1.
constexpr size_t kSlots = 2048;
uint16_t g_by_real[kSlots], g_by_hook[kSlots];

size_t slot_of(uintptr_t address) { return (address * 0x9e3779b97f4a7c15u) >> 53; }
static_assert(kSlots == 1u << 11);

void enter(uint16_t (&table)[kSlots], uintptr_t address, size_t row) {
  size_t at = slot_of(address);
  while (table[at]) at = (at + 1) % kSlots;
  table[at] = static_cast<uint16_t>(row + 1);
}

void prepare_rows() {
  static bool is_prepared;
  if (is_prepared) return;
  is_prepared = true;
  for (size_t row = 0; row < kHookCount; ++row) {
    g_rows[row] = interposed(row);
    if (!g_rows[row].hook || !g_rows[row].real) continue;
    enter(g_by_real, g_rows[row].real, row);
    enter(g_by_hook, g_rows[row].hook, row);
  }
}

/// The row of that address and name; nullptr: there is none. Several names may have one address.
template <class Address>
const Interposed* find_row(const uint16_t (&table)[kSlots], uintptr_t address, const char* name, Address address_of) {
  for (size_t at = slot_of(address); table[at]; at = (at + 1) % kSlots) {
    size_t row = table[at] - 1u;
    if (address_of(g_rows[row]) == address && is_named(row, name)) return &g_rows[row];
  }
  return nullptr;
}

/// By its name alone.
const Interposed* find_named(const char* name) {
  for (size_t row = 0; row < kHookCount; ++row)
    if (g_rows[row].hook && g_rows[row].real && is_named(row, name)) return &g_rows[row];
  return nullptr;
}

/// The references of one object.
class References {
 public:
  explicit References(const link_map& map) : map_(map), symbols_(map) {}

  void redirect() {
    if (is_being_relocated()) return;
    each([&](std::atomic<uintptr_t>& place, const ElfW(Rela) & relocation, const ElfW(Sym) & symbol) {
      uintptr_t value = place.load(std::memory_order_relaxed);
      const char* name = symbols_.name_of(symbol);
      const Interposed* row = find_row(g_by_real, value, name, [](const Interposed& one) { return one.real; });
      bool is_unbound = !row && ELF64_R_TYPE(relocation.r_info) == arch::kCallRelocation && is_own_code(value) &&
                        symbol.st_shndx == SHN_UNDEF;
      if (is_unbound) row = find_named(name);
      if (row) set(place, row->hook);
    });
  }

  void restore() {
    each([&](std::atomic<uintptr_t>& place, const ElfW(Rela)&, const ElfW(Sym) & symbol) {
      uintptr_t value = place.load(std::memory_order_relaxed);
      const Interposed* row =
          find_row(g_by_hook, value, symbols_.name_of(symbol), [](const Interposed& one) { return one.hook; });
      if (row) set(place, row->real);
    });
  }

 private:
  template <class Visit>
  void each(Visit visit) {
    if (!symbols_.has_names()) return;
    unwind::each_reference(map_, [&](const ElfW(Rela) & relocation, uint32_t index) {
      auto type = ELF64_R_TYPE(relocation.r_info);
      bool is_address =
          type == arch::kCallRelocation || type == arch::kTableRelocation || type == arch::kWordRelocation;
      if (!is_address || (relocation.r_addend && type == arch::kWordRelocation)) return;
      uintptr_t place = map_.l_addr + relocation.r_offset;
      if (place % sizeof place) return;
      visit(*reinterpret_cast<std::atomic<uintptr_t>*>(place), relocation, symbols_.symbol(index));
    });
  }

  /// Its loader still writes to what will be read only then, and which may not be protected before.
  bool is_being_relocated() {
    unwind::Segment segment = segment_of(map_, 0, map_.l_ld);
    if (segment.protection & PROT_WRITE || !segment.high) return false;
    auto* place = reinterpret_cast<uintptr_t*>(segment.low);
    uintptr_t same = *place;
    iovec from{&same, sizeof same}, to{place, sizeof *place};
    return base::raw_syscall(SYS_process_vm_writev, base::current_pid(), reinterpret_cast<long>(&from), 1,
                             reinterpret_cast<long>(&to), 1, 0) == sizeof same;
  }

  /// It leads to the object's own table of calls, which has the loader bind it.
  bool is_own_code(uintptr_t value) {
    if (!has_object_) {
      has_object_ = true;
      unwind::describe_object(map_, 0, object_);
    }
    return value >= object_.image.low && value < object_.image.high;
  }

  void set(std::atomic<uintptr_t>& place, uintptr_t value) {
    auto at = reinterpret_cast<uintptr_t>(&place);
    if (!access_ || at < segment_.low || at >= segment_.high) {
      access_.reset();
      segment_ = segment_of(map_, 0, &place);
      access_.emplace(segment_);
    }
    if (*access_) place.store(value, std::memory_order_release);
  }

  const link_map& map_;
  DynamicSymbols symbols_;
  unwind::Object object_;
  bool has_object_ = false;
  unwind::Segment segment_;
  std::optional<WritableSegment> access_;
};

bool is_to_be_left(const link_map& map, const link_map* own) { return &map == own || !map.l_ld; }

/// False: a thread that does not run is at work here, or in the loader.
template <class Visit>
bool each_object(Visit visit) {
  if (g_lock.is_held() || unwind::loader_list().r_state != r_debug::RT_CONSISTENT) return false;
  base::Hold hold(g_lock);
  prepare_rows();
  const link_map* own = unwind::own_link_map();
  for (const link_map* map = unwind::loader_list().r_map; map; map = unwind::next_searched(map))
    if (!is_to_be_left(*map, own)) visit(References(*map));
  return true;
}

}  // namespace

bool redirect_references() {
  bool is_done = each_object([](References references) { references.redirect(); });
  if (is_done) g_is_redirected.store(true, std::memory_order_release);
  return is_done;
}

bool restore_references() {
  bool was_redirected = g_is_redirected.exchange(false, std::memory_order_acq_rel);
  bool is_done = each_object([](References references) { references.restore(); });
  if (!is_done) g_is_redirected.store(was_redirected, std::memory_order_release);
  return is_done;
}

void reset_redirection_after_fork() { g_lock.reset(); }

void redirect_loaded(const void* handle) {
  if (!handle || !g_is_redirected.load(std::memory_order_acquire)) return;
  track::adopt_fork_if_needed();
  // What is loaded stands behind what was there before. Meanwhile nobody loads or unloads.
  auto redirect = [](dl_phdr_info*, size_t, void* context) {
    base::Hold hold(g_lock);
    if (!g_is_redirected.load(std::memory_order_acquire)) return 1;
    const link_map* own = unwind::own_link_map();
    for (const auto* map = static_cast<const link_map*>(context); map; map = map->l_next)
      if (!is_to_be_left(*map, own)) References(*map).redirect();
    return 1;
  };
  dl_iterate_phdr(redirect, const_cast<void*>(handle));
}

}  // namespace unfreed::hook
