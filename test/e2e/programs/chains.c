// Chains of pointers from roots to blocks in every combination of "to the start", "into the middle" and "not at all"; rings
// and trees that nothing leads to.
#include <stdlib.h>
#include <string.h>

struct Node {
  struct Node* left;
  struct Node* right;
  char rest[80];
};

static void* roots[16];
static volatile char* sink;

static struct Node* make(void) {
  struct Node* node = malloc(sizeof *node);
  if (!node) abort();
  memset(node, 0, sizeof *node);
  return node;
}
static void* middle_of(struct Node* node) { return node->rest + 20; }

static struct Node* tree(int depth) {
  struct Node* node = make();
  if (depth > 1) {
    node->left = tree(depth - 1);
    node->right = tree(depth - 1);
  }
  return node;
}

static void leave(void) {
  // By what the root leads to, and what that does: S the start, M the middle, nothing.
  for (int to_first = 0; to_first < 3; ++to_first) {
    for (int to_second = 0; to_second < 3; ++to_second) {
      struct Node *first = make(), *second = make();
      void* ways[] = {first, middle_of(first), NULL};
      void* further[] = {second, middle_of(second), NULL};
      roots[to_first * 3 + to_second] = ways[to_first];
      first->left = further[to_second];
    }
  }
  // Rings of one, two and five; a ring with a tail that leads to it.
  struct Node* alone = make();
  alone->left = alone;
  struct Node *one = make(), *other = make();
  one->left = other;
  other->right = one;
  struct Node *start = make(), *last = start;
  for (int i = 0; i < 4; ++i) {
    last->left = make();
    last = last->left;
  }
  last->left = start;
  struct Node* tail = make();
  tail->right = make();
  tail->right->left = tail->right;
  tree(5);
  roots[10] = tree(4);
  roots[11] = middle_of(tree(3));
}

static void wipe_stack(void) {
  volatile char waste[8192];
  for (size_t i = 0; i < sizeof waste; ++i) waste[i] = 0;
  sink = waste;
  sink = NULL;
}

int main(void) {
  leave();
  wipe_stack();
  return roots[0] == NULL;
}
