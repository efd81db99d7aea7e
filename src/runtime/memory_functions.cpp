// The functions of <string.h> that this library uses, its own: hidden, so that its calls are bound to them. By libc's
// names they would go to whoever stands before libc: a sanitizer's interceptor takes what the runtime does with its own
// memory for the program's doing (ThreadSanitizer reports races between two threads that copy to the memory of a third
// that has ended), and a call that comes before its initialisation may find it unprepared.
//
// As plain loops of words, which the compiler turns into vector instructions; nothing here is on a hot path, where copies
// are of known size and need no call.
#include <cstddef>
#include <cstdint>

#define OWN extern "C" __attribute__((visibility("hidden"), used, optimize("O3", "no-tree-loop-distribute-patterns")))

namespace {
/// Sixteen bytes at any address.
struct __attribute__((packed, may_alias)) Block {
  uint64_t low, high;
};
using Byte = unsigned char;
}  // namespace

OWN void* memcpy(void* __restrict to, const void* __restrict from, size_t bytes) {
  auto* out = static_cast<Byte*>(to);
  auto* in = static_cast<const Byte*>(from);
  for (; bytes >= sizeof(Block); bytes -= sizeof(Block), out += sizeof(Block), in += sizeof(Block))
    *reinterpret_cast<Block*>(out) = *reinterpret_cast<const Block*>(in);
  for (; bytes; --bytes) *out++ = *in++;
  return to;
}

OWN void* memmove(void* to, const void* from, size_t bytes) {
  auto* out = static_cast<Byte*>(to);
  auto* in = static_cast<const Byte*>(from);
  if (reinterpret_cast<uintptr_t>(out) - reinterpret_cast<uintptr_t>(in) >= bytes) {
    // Front to back: no byte is written before it is read.
    for (; bytes >= sizeof(Block); bytes -= sizeof(Block), out += sizeof(Block), in += sizeof(Block)) {
      Block block = *reinterpret_cast<const Block*>(in);
      *reinterpret_cast<Block*>(out) = block;
    }
    for (; bytes; --bytes) *out++ = *in++;
    return to;
  }
  for (; bytes >= sizeof(Block); bytes -= sizeof(Block)) {
    Block block = *reinterpret_cast<const Block*>(in + bytes - sizeof(Block));
    *reinterpret_cast<Block*>(out + bytes - sizeof(Block)) = block;
  }
  for (; bytes; --bytes) out[bytes - 1] = in[bytes - 1];
  return to;
}

OWN void* memset(void* to, int value, size_t bytes) {
  auto* out = static_cast<Byte*>(to);
  uint64_t word = 0x0101010101010101u * static_cast<Byte>(value);
  for (; bytes >= sizeof(Block); bytes -= sizeof(Block), out += sizeof(Block))
    *reinterpret_cast<Block*>(out) = {word, word};
  for (; bytes; --bytes) *out++ = static_cast<Byte>(value);
  return to;
}

OWN int memcmp(const void* left, const void* right, size_t bytes) {
  auto* a = static_cast<const Byte*>(left);
  auto* b = static_cast<const Byte*>(right);
  for (; bytes >= sizeof(Block); bytes -= sizeof(Block), a += sizeof(Block), b += sizeof(Block)) {
    auto& x = *reinterpret_cast<const Block*>(a);
    auto& y = *reinterpret_cast<const Block*>(b);
    if (x.low != y.low || x.high != y.high) break;
  }
  for (; bytes; --bytes, ++a, ++b)
    if (*a != *b) return *a - *b;
  return 0;
}

namespace {
/// The first of either byte in a NUL-terminated text.
const char* find(const char* text, Byte byte, Byte or_byte) {
  while (static_cast<Byte>(*text) != byte && static_cast<Byte>(*text) != or_byte) ++text;
  return text;
}
}  // namespace

OWN void* memchr(const void* from, int value, size_t bytes) {
  auto* in = static_cast<const Byte*>(from);
  for (; bytes; --bytes, ++in)
    if (*in == static_cast<Byte>(value)) return const_cast<Byte*>(in);
  return nullptr;
}

OWN size_t strlen(const char* text) { return static_cast<size_t>(find(text, 0, 0) - text); }

OWN size_t strnlen(const char* text, size_t most) {
  size_t size = 0;
  while (size < most && text[size]) ++size;
  return size;
}

OWN char* strchr(const char* text, int value) {
  const char* found = find(text, static_cast<Byte>(value), 0);
  return static_cast<Byte>(*found) == static_cast<Byte>(value) ? const_cast<char*>(found) : nullptr;
}

OWN char* strrchr(const char* text, int value) {
  const char* found = nullptr;
  for (;; ++text) {
    if (static_cast<Byte>(*text) == static_cast<Byte>(value)) found = text;
    if (!*text) return const_cast<char*>(found);
  }
}

OWN int strncmp(const char* left, const char* right, size_t most) {
  for (; most; --most, ++left, ++right) {
    int difference = static_cast<Byte>(*left) - static_cast<Byte>(*right);
    if (difference || !*left) return difference;
  }
  return 0;
}

OWN int strcmp(const char* left, const char* right) { return strncmp(left, right, static_cast<size_t>(-1)); }
