#include "grade/thread_locals.h"

#include <link.h>

#include <algorithm>
#include <span>

#include "arch/thread_block.h"
#include "grade/root_parts.h"

namespace unfreed::grade {

namespace {

[[maybe_unused]] constexpr uintptr_t kWord = sizeof(uintptr_t);

/// As many of the words there as can be read.
[[maybe_unused]] std::span<const uintptr_t> words_at(const MemoryMap& map, uintptr_t address, size_t most) {
  const Mapping* mapping = address % kWord == 0 ? map.find(address) : nullptr;
  if (!mapping || !mapping->readable) return {};
  return {reinterpret_cast<const uintptr_t*>(address), std::min<size_t>(most, (mapping->high - address) / kWord)};
}

}  // namespace

#ifndef __GLIBC__
// musl has neither blocks that are made when they are first used nor groups of keys: both lie with the thread.
bool find_thread_locals(const MemoryMap&, const unwind::Object&, ThreadLocals&) { return false; }
uintptr_t thread_local_block(const MemoryMap&, uintptr_t, const ThreadLocals&) { return 0; }
void each_key_group(const MemoryMap&, uintptr_t, void*, void (*)(void*, size_t, uintptr_t)) {}
#else
/// The end of the loader's record (struct link_map, include/link.h in glibc 2.3 to 2.42) is private. Four words of it
/// are known from the program header, so what follows them is, too:
//
//     l_tls_initimage │ l_tls_initimage_size │ l_tls_blocksize │ l_tls_align │ l_tls_firstbyte_offset │ l_tls_offset │
//     l_tls_modid
bool find_thread_locals(const MemoryMap& map, const unwind::Object& object, ThreadLocals& out) {
  constexpr size_t kMostWords = 256, kMostNumber = 1 << 16;
  ElfW(Phdr) segment;
  if (!object.map || !unwind::thread_local_segment(object, segment)) return false;
  const uintptr_t known[] = {object.bias + segment.p_vaddr, segment.p_filesz, segment.p_memsz, segment.p_align};
  std::span<const uintptr_t> record = words_at(map, reinterpret_cast<uintptr_t>(object.map), kMostWords);
  const uintptr_t* end = record.data() + record.size();
  const uintptr_t* found = std::search(record.data(), end, std::begin(known), std::end(known));
  if (end - found < 7 || found[4] != (segment.p_vaddr & (std::max<uintptr_t>(segment.p_align, 1) - 1))) return false;
  constexpr intptr_t kNone = 0, kForcedBlock = -1;
  auto offset = static_cast<intptr_t>(found[5]);
  out = {found[6], offset == kForcedBlock ? kNone : offset, segment.p_memsz};
  return out.number && out.number < kMostNumber && offset >= kForcedBlock;
}

/// The thread's vector (dtv_t *dtv, sysdeps/generic/dl-dtv.h): each element has a pointer to a block, and to what
/// malloc() returned for it. How many there are is in front of it.
uintptr_t thread_local_block(const MemoryMap& map, uintptr_t thread, const ThreadLocals& of) {
  struct Element {
    uintptr_t block;
    uintptr_t allocated;
  };
  constexpr uintptr_t kUnused = UINTPTR_MAX;
  uintptr_t vector = arch::thread_local_vector(thread);
  if (vector <= sizeof(Element)) return 0;
  size_t most_words = (of.number + 2) * sizeof(Element) / kWord;
  std::span<const uintptr_t> words = words_at(map, vector - sizeof(Element), most_words);
  if (words.size() != most_words || words[0] < of.number) return 0;
  const auto& element = reinterpret_cast<const Element*>(vector)[of.number];
  bool is_known = element.block != kUnused && element.block >= element.allocated && of.bytes >= kWord;
  return is_known && words_at(map, element.block, of.bytes / kWord).size() == of.bytes / kWord ? element.block : 0;
}

/// struct pthread (nptl/descr.h, unchanged from glibc 2.3 to 2.42):
//
//     struct pthread_key_data specific_1stblock[32];  { uintptr_t seq; void *data; }
//     struct pthread_key_data *specific[32];          the first one leads to what is in front of it
void each_key_group(const MemoryMap& map, uintptr_t thread, void* context,
                    void (*visit)(void* context, size_t group, uintptr_t place)) {
  constexpr size_t kGroups = 32;
  std::span<const uintptr_t> words = words_at(map, thread, kThreadBytes / kWord);
  for (size_t at = kKeyGroupBytes / kWord; at + kGroups <= words.size(); ++at) {
    uintptr_t first = thread + at * kWord - kKeyGroupBytes;
    if (words[at] != first) continue;
    for (size_t group = 0; group < kGroups; ++group)
      if (uintptr_t place = words[at + group])
        if (words_at(map, place, kKeyGroupBytes / kWord).size() == kKeyGroupBytes / kWord) visit(context, group, place);
    return;
  }
}
#endif

}  // namespace unfreed::grade
