// Allocates everything by wrappers, as many C programs do: what a block is, the line says that calls them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void* allocate(size_t bytes) {
  void* block = malloc(bytes);  // @wrapper
  if (!block) abort();
  return memset(block, 0, bytes);
}
static char* copy(const char* text) {
  char* made = allocate(strlen(text) + 1);  // @wrapper
  return strcpy(made, text);
}

struct entry {
  struct entry* next;
  char* name;
};
struct table {
  struct entry** buckets;
  char* title;
  char* owner;
  char* note;
};
struct layer {
  struct layer* inner;
  char* label;
  long rest[4];
};

enum { kBuckets = 64, kEntries = 3, kLayers = 5 };
static struct table* table;
static struct layer* layers;

static void make_table(void) {
  table = allocate(sizeof *table);                               // @table
  table->buckets = allocate(kBuckets * sizeof *table->buckets);  // @buckets
}
static void add_entry(void) {
  struct entry* made = allocate(sizeof *made);  // @entry
  made->next = table->buckets[7];
  made->name = copy("an entry's name");  // @name
  table->buckets[7] = made;
}
static void set_title(void) { table->title = copy("a title"); }
static void set_owner(void) { table->owner = copy("somebody"); }
static void set_note(void) { table->note = copy("a note that is longer than all the others"); }

/// Each by a call of its own.
static struct layer* add_layer(int more) {
  struct layer* made = allocate(sizeof *made);  // @layer
  if (more)
    made->inner = add_layer(more - 1);
  else
    made->label = copy("the innermost label of all");  // @label
  return made;
}

static void forget(void) {
  char* text = allocate(500);  // @forgotten
  if (text[0]) puts(text);
}

int main(void) {
  make_table();
  for (int i = 0; i < kEntries; ++i) add_entry();
  set_title();
  set_owner();
  set_note();
  layers = add_layer(kLayers - 1);
  forget();
  return 0;
}
