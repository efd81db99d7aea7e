#include "unwind/dynamic_symbols.h"

namespace unfreed::unwind {

DynamicSymbols::DynamicSymbols(const Object& object) {
  for (const ElfW(Dyn)* entry = dynamic_section(object); entry && entry->d_tag != DT_NULL; ++entry) {
    // The loader has added the bias, but not where the section is not writable (the vDSO's).
    auto is_inside = [&](uintptr_t address) { return address >= object.image.low && address < object.image.high; };
    uintptr_t at = is_inside(entry->d_un.d_ptr) ? entry->d_un.d_ptr : object.bias + entry->d_un.d_ptr;
    if (!is_inside(at)) continue;
    if (entry->d_tag == DT_SYMTAB) symbols_ = reinterpret_cast<const ElfW(Sym)*>(at);
    if (entry->d_tag == DT_STRTAB) names_ = reinterpret_cast<const char*>(at);
    if (entry->d_tag == DT_GNU_HASH) gnu_hash_ = reinterpret_cast<const uint32_t*>(at);
    if (entry->d_tag == DT_HASH) sysv_hash_ = reinterpret_cast<const uint32_t*>(at);
  }
}

const ElfW(Sym) * DynamicSymbols::find(std::string_view name, const ElfW(Sym) * after) const {
  if (!symbols_ || !names_) return nullptr;
  if (gnu_hash_) return find_by_gnu_hash(name, after);
  return sysv_hash_ ? find_by_sysv_hash(name, after) : nullptr;
}

// Layout: number of buckets, first symbol that is in a bucket, words of the Bloom filter, its shift; the filter;
// buckets (a chain's first symbol); a hash for each symbol, its lowest bit set at a chain's end.
const ElfW(Sym) * DynamicSymbols::find_by_gnu_hash(std::string_view name, const ElfW(Sym) * after) const {
  uint32_t bucket_count = gnu_hash_[0], first = gnu_hash_[1], filter_words = gnu_hash_[2], shift = gnu_hash_[3];
  auto* filter = reinterpret_cast<const ElfW(Addr)*>(gnu_hash_ + 4);
  auto* buckets = reinterpret_cast<const uint32_t*>(filter + filter_words);
  const uint32_t* hashes = buckets + bucket_count;
  uint32_t hash = 5381;
  for (char c : name) hash = hash * 33 + static_cast<unsigned char>(c);

  if (bucket_count == 0 || filter_words == 0) return nullptr;
  ElfW(Addr) word = filter[hash / __ELF_NATIVE_CLASS % filter_words];
  if (!(word >> hash % __ELF_NATIVE_CLASS & word >> (hash >> shift) % __ELF_NATIVE_CLASS & 1)) return nullptr;
  uint32_t index = buckets[hash % bucket_count];
  if (index < first) return nullptr;
  if (after) {
    index = static_cast<uint32_t>(after - symbols_);
    if (hashes[index++ - first] & 1) return nullptr;
  }
  for (;; ++index) {
    if ((hashes[index - first] | 1) == (hash | 1) && name == names_ + symbols_[index].st_name) return &symbols_[index];
    if (hashes[index - first] & 1) return nullptr;
  }
}

// Layout: number of buckets, of symbols; buckets (a chain's first symbol); each symbol's next one, 0 at the end.
const ElfW(Sym) * DynamicSymbols::find_by_sysv_hash(std::string_view name, const ElfW(Sym) * after) const {
  uint32_t bucket_count = sysv_hash_[0];
  const uint32_t* buckets = sysv_hash_ + 2;
  const uint32_t* next = buckets + bucket_count;
  uint32_t hash = 0;
  for (char c : name) {
    hash = (hash << 4) + static_cast<unsigned char>(c);
    hash = (hash ^ (hash & 0xf0000000) >> 24) & 0x0fffffff;
  }
  if (bucket_count == 0) return nullptr;
  uint32_t index = after ? next[after - symbols_] : buckets[hash % bucket_count];
  for (; index; index = next[index])
    if (name == names_ + symbols_[index].st_name) return &symbols_[index];
  return nullptr;
}

}  // namespace unfreed::unwind
