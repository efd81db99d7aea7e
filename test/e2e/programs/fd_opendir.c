// Directory streams; scandir's own, closed inside libc, is nobody's leak.
//! leak: kind=fd live=1 by=opendir function=main line=@opendir target=/etc
//! clean:
#include <dirent.h>
#include <stdlib.h>

#include "planted.h"

int main(int argc, char** argv) {
  struct dirent** names;
  int count = scandir("/etc", &names, NULL, NULL);
  for (int i = 0; i < count; i++) free(names[i]);
  if (count >= 0) free(names);
  DIR* stream = opendir("/etc");  // @opendir
  if (!leaking(argc, argv)) closedir(stream);
  return 0;
}
