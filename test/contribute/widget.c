#include "widget.h"

#include <errno.h>

enum { kMost = 16 };
static int g_made[kMost];

int widget_make(int size) {
  for (int i = 0; i < kMost; ++i)
    if (!g_made[i]) return g_made[i] = size, i;
  errno = ENOSPC;
  return -1;
}

int widget_give_back(int widget) {
  if (widget >= 0 && widget < kMost && g_made[widget]) return g_made[widget] = 0;
  errno = EINVAL;
  return -1;
}
