#include "hook/own_exports.h"

#include <elf.h>
#include <sys/mman.h>

#include <span>

#include "base/syscall.h"
#include "unwind/loader_list.h"
#include "unwind/objects.h"

namespace unfreed::hook {

namespace {

using unwind::DynamicSymbols;

bool is_hidden(const ElfW(Sym) & symbol) { return ELF64_ST_BIND(symbol.st_info) == STB_LOCAL; }

/// References that the loader has bound already, in one other object.
class BoundReferences {
 public:
  BoundReferences(const link_map& own, const DynamicSymbols& own_symbols, std::span<const uint16_t> hidden,
                  const link_map& map)
      : own_(own), own_symbols_(own_symbols), hidden_(hidden), map_(map), symbols_(map) {}

  void reset() const {
    if (!symbols_.has_names() || !may_exist()) return;
    unwind::each_reference(map_, [&](const ElfW(Rela) & relocation, uint32_t index) {
      if (auto* own = hidden_behind(symbols_.symbol(index))) reset(relocation, own_.l_addr + own->st_value);
    });
  }

 private:
  /// The hidden symbol that a reference is to, or nullptr. Only a weak one can do without a definition: where there is
  /// another kind of reference, the program does not start without one.
  const ElfW(Sym) * hidden_behind(const ElfW(Sym) & reference) const {
    if (reference.st_shndx != SHN_UNDEF || ELF64_ST_BIND(reference.st_info) != STB_WEAK) return nullptr;
    const ElfW(Sym)* own = own_symbols_.find(symbols_.name_of(reference));
    return own && is_hidden(*own) ? own : nullptr;
  }

  /// A look at what the object does not define is much quicker than one at its relocations.
  bool may_exist() const {
    uint32_t count = symbols_.leading_symbols();
    for (uint32_t i = 1; i < count; ++i)
      if (hidden_behind(symbols_.symbol(i))) return true;
    // In the hash table are those that another object defined when this one was linked.
    for (uint16_t index : hidden_)
      if (symbols_.find(own_symbols_.name_of(own_symbols_.symbol(index)))) return true;
    return count == 0;
  }

  void reset(const ElfW(Rela) & relocation, uintptr_t hook) const {
    auto* place = reinterpret_cast<uintptr_t*>(map_.l_addr + relocation.r_offset);
    auto addend = static_cast<uintptr_t>(relocation.r_addend);
    if (*place != hook + addend) return;  // to be bound when it is first called: nothing will be found then
    if (WritableSegment access(segment_of(map_, 0, place)); access) *place = addend;
  }

  const link_map& own_;
  const DynamicSymbols& own_symbols_;
  std::span<const uint16_t> hidden_;
  const link_map& map_;
  DynamicSymbols symbols_;
};

}  // namespace

unwind::Segment segment_of(const link_map& map, uintptr_t start, const void* place) {
  unwind::Object object;
  unwind::Segment segment;
  if (unwind::describe_object(map, start, object))
    unwind::find_segment(object, reinterpret_cast<uintptr_t>(place), segment);
  return segment;
}

WritableSegment::WritableSegment(const unwind::Segment& segment) : segment_(segment) {
  // Code is left alone: it must stay executable all the time.
  if (segment.protection & PROT_EXEC || !(segment.protection & PROT_READ)) return;
  is_writable_ = segment.protection & PROT_WRITE || !base::is_error(protect(PROT_READ | PROT_WRITE));
}

WritableSegment::~WritableSegment() {
  if (is_writable_ && !(segment_.protection & PROT_WRITE)) protect(segment_.protection);
}

long WritableSegment::protect(int protection) const {
  return base::raw_syscall(SYS_mprotect, static_cast<long>(segment_.low),
                           static_cast<long>(segment_.high - segment_.low), protection);
}

OwnExports::OwnExports(const link_map& own)
    : own_(own), symbols_(own), access_(segment_of(own, own.l_addr, &symbols_.symbol(0))) {}

void OwnExports::hide(const unwind::SymbolName& name) {
  auto* symbol = access_ ? symbols_.find(name) : nullptr;
  if (!symbol) return;
  const_cast<ElfW(Sym)*>(symbol)->st_info = ELF64_ST_INFO(STB_LOCAL, ELF64_ST_TYPE(symbol->st_info));
  hidden_[hidden_count_++] = static_cast<uint16_t>(symbol - &symbols_.symbol(0));
}

void OwnExports::limit_to_version(const unwind::SymbolName& name, const char* version) {
  ElfW(Versym) number = symbols_.number_of_needed(version);
  if (!number) return hide(name);
  auto* symbol = access_ ? symbols_.find(name) : nullptr;
  if (symbol) *const_cast<ElfW(Versym)*>(symbols_.version_place(symbol)) = number | unwind::kCompatVersion;
}

void OwnExports::reset_references_to_hidden() const {
  if (!access_) return;
  for (const link_map* map = unwind::loader_list().r_map; map; map = unwind::next_searched(map))
    if (map != &own_) BoundReferences(own_, symbols_, {hidden_, hidden_count_}, *map).reset();
}

}  // namespace unfreed::hook
