#include "base/scan.h"
#include "evaluate/evaluate.h"
#include "names/demangle.h"

namespace unfreed::report {

namespace {

using base::hash_text;

/// Depends on the order: what is in a stack says nothing without where.
uint64_t combine(uint64_t first, uint64_t second) {
  uint64_t hash = (first * 0x9e3779b97f4a7c15u ^ second) * 0xd6e8feb86659fd93u;
  return hash ^ hash >> 32;
}

}  // namespace

uint64_t stack_hash(uint64_t callers, std::string_view module_path, std::string_view linkage_name) {
  uint64_t frame = hash_text("!", hash_text(base::base_name(module_path)));
  return combine(callers, hash_text(linkage_name.empty() ? "?" : without_clone_suffix(linkage_name), frame));
}

uint64_t signature_of(uint64_t stack_hash, ledger::Kind kind, std::string_view hook) {
  return combine(stack_hash, hash_text(hook, hash_text("\n", hash_text(kind_name(kind)))));
}

}  // namespace unfreed::report
