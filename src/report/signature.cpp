#include "report/demangle.h"
#include "report/evaluate.h"
#include "report/scan.h"

namespace unfreed::report {

namespace {

/// FNV-1a, 64 bits, of texts one after the other.
uint64_t hash_of(uint64_t hash, std::string_view text) {
  constexpr uint64_t kPrime = 0x100000001b3;
  for (char character : text) hash = (hash ^ static_cast<unsigned char>(character)) * kPrime;
  return hash;
}

/// Depends on the order: what is in a stack says nothing without where.
uint64_t combine(uint64_t first, uint64_t second) {
  uint64_t hash = (first * 0x9e3779b97f4a7c15u ^ second) * 0xd6e8feb86659fd93u;
  return hash ^ hash >> 32;
}

}  // namespace

uint64_t stack_hash(uint64_t callers, std::string_view module_path, std::string_view linkage_name) {
  uint64_t frame = hash_of(hash_of(kEmptyStackHash, base_name(module_path)), "!");
  return combine(callers,
                 hash_of(frame, linkage_name.empty() ? std::string_view("?") : without_clone_suffix(linkage_name)));
}

uint64_t signature_of(uint64_t stack_hash, ledger::Kind kind, std::string_view door) {
  return combine(stack_hash, hash_of(hash_of(hash_of(kEmptyStackHash, kind_name(kind)), "\n"), door));
}

}  // namespace unfreed::report
