// Closes the standard descriptors that its argument names ("01") and asks who holds what was acquired after that. Its
// answers go to a copy of standard error with a high number.
#include <unfreed/unfreed.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int g_out;

static int show(void* context, const struct unfreed_site* site) {
  (void)context;
  const char* name = strrchr(site->file, '/');
  dprintf(g_out, "%d from %s at %s:%u\n", (int)site->count, site->acquired_by, name ? name + 1 : "", site->line);
  return 0;
}

int main(int argc, char** argv) {
  g_out = fcntl(2, F_DUPFD, 50);
  for (const char* one = argc > 1 ? argv[1] : ""; *one; one++) close(*one - '0');
  unfreed_mark_t mark = unfreed_mark();
  fcntl(open("/etc/hosts", O_RDONLY), F_GETFD);  // @open
  dprintf(g_out, "held %d\n", (int)unfreed_live_since(mark, UNFREED_FD));
  dprintf(g_out, "shown %d\n", (int)unfreed_live_since_each(mark, UNFREED_FD, show, NULL));
  return 0;
}
