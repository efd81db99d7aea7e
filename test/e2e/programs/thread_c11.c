// Threads of the C standard.
//! leak: kind=thread live=2 by=thrd_create function=main line=@create
//! clean:
#include <threads.h>

#include "alone.h"
#include "planted.h"

static int work(void* argument) { return argument != NULL; }

int main(int argc, char** argv) {
  thrd_t threads[2];
  for (int i = 0; i < 2; i++)
    if (thrd_create(&threads[i], work, NULL) != thrd_success) return 1;  // @create
  wait_until_alone();
  if (leaking(argc, argv)) return 0;
  thrd_join(threads[0], NULL);
  thrd_detach(threads[1]);
  return 0;
}
