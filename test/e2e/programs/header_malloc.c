// A malloc of its own over glibc's names for its allocator: each block has a header in front, so nobody else points to
// where glibc's block begins.
#include <stddef.h>
#include <string.h>

void* __libc_malloc(size_t bytes);
void __libc_free(void* block);

enum { kHeader = 16 };

void* malloc(size_t bytes) {
  char* block = __libc_malloc(bytes + kHeader);
  if (!block) return NULL;
  memcpy(block, &bytes, sizeof bytes);
  return block + kHeader;
}

void free(void* block) {
  if (block) __libc_free((char*)block - kHeader);
}

void* calloc(size_t count, size_t size) {
  void* block = malloc(count * size);
  return block ? memset(block, 0, count * size) : NULL;
}

void* realloc(void* block, size_t bytes) {
  void* moved = malloc(bytes);
  if (!moved || !block) return moved;
  size_t before;
  memcpy(&before, (char*)block - kHeader, sizeof before);
  memcpy(moved, block, before < bytes ? before : bytes);
  free(block);
  return moved;
}
