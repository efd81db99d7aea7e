// Finds a dynamic object's symbols by name: hash tables of either style, in a file or in memory.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::elf {

/// More steps than any chain has; a damaged table may have no end.
inline constexpr uint32_t kMostSteps = 1u << 20;

/// A name's hash in DT_GNU_HASH, character by character.
inline constexpr uint32_t kGnuHashStart = 5381;
constexpr uint32_t gnu_hash_step(uint32_t hash, char c) { return hash * 33 + static_cast<unsigned char>(c); }
constexpr uint32_t gnu_hash(std::string_view name) {
  uint32_t hash = kGnuHashStart;
  for (char c : name) hash = gnu_hash_step(hash, c);
  return hash;
}

/// Both: the number of the first symbol of which `is_it` is true, after number `after` (0: from the start); 0 for none.
/// `word(at, out)` reads the 32-bit word `at` bytes into the table, false if there is none.
///
/// DT_GNU_HASH, by gnu_hash(): number of buckets, first symbol that is in a bucket, words of the Bloom filter, its
/// shift; the filter, in words as large as an address; buckets (a chain's first symbol); a hash for each symbol, its
/// lowest bit set at a chain's end.
template <class Word, class IsIt>
uint32_t find_by_gnu_hash(Word word, uint32_t address_bits, uint32_t hash, uint32_t after, IsIt is_it) {
  uint32_t buckets = 0, first = 0, filter_words = 0, shift = 0;
  if (!word(0, buckets) || !word(4, first) || !word(8, filter_words) || !word(12, shift)) return 0;
  if (buckets == 0 || filter_words == 0) return 0;

  const uint64_t filter = 16;
  const uint64_t filter_bytes = uint64_t{filter_words} * (address_bits / 8);
  auto is_set = [&](uint32_t bit) {
    uint64_t at = filter + uint64_t{hash / address_bits % filter_words} * (address_bits / 8) + bit / 32 * 4;
    uint32_t bits = 0;
    return word(at, bits) && bits >> (bit % 32) & 1;
  };
  if (!is_set(hash % address_bits) || !is_set((shift < 32 ? hash >> shift : 0) % address_bits)) return 0;
  const uint64_t bucket_table = filter + filter_bytes;
  const uint64_t hashes = bucket_table + uint64_t{buckets} * 4;
  uint32_t index = 0;
  if (!word(bucket_table + uint64_t{hash % buckets} * 4, index) || index < first) return 0;
  uint32_t one = 0;
  if (after) {
    index = after;
    if (!word(hashes + uint64_t{index - first} * 4, one) || one & 1) return 0;
    ++index;
  }
  for (uint32_t step = 0; step < kMostSteps; ++step, ++index) {
    if (!word(hashes + uint64_t{index - first} * 4, one)) return 0;
    if ((one | 1) == (hash | 1) && is_it(index)) return index;
    if (one & 1) return 0;
  }
  return 0;
}

/// DT_HASH: number of buckets, of symbols; buckets (a chain's first symbol); each symbol's next one, 0 at the end.
template <class Word, class IsIt>
uint32_t find_by_sysv_hash(Word word, std::string_view name, uint32_t after, IsIt is_it) {
  uint32_t buckets = 0;
  if (!word(0, buckets) || buckets == 0) return 0;
  const uint64_t chains = 8 + uint64_t{buckets} * 4;
  uint32_t hash = 0;
  for (char c : name) {
    hash = (hash << 4) + static_cast<unsigned char>(c);
    hash = (hash ^ (hash & 0xf0000000) >> 24) & 0x0fffffff;
  }
  uint32_t index = 0;
  if (!word(after ? chains + uint64_t{after} * 4 : 8 + uint64_t{hash % buckets} * 4, index)) return 0;
  for (uint32_t step = 0; index && step < kMostSteps; ++step) {
    if (is_it(index)) return index;
    if (!word(chains + uint64_t{index} * 4, index)) return 0;
  }
  return 0;
}

}  // namespace unfreed::elf
