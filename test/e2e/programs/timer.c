// Timers that are never deleted.
//! leak: kind=timer live=3 by=timer_create function=arm line=@create target=CLOCK_MONOTONIC
//! clean:
#include <signal.h>
#include <time.h>

#include "planted.h"

static timer_t arm(void) {
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  timer_t timer;
  timer_create(CLOCK_MONOTONIC, &event, &timer);  // @create
  return timer;
}

int main(int argc, char** argv) {
  for (int i = 0; i < 5; ++i) {
    timer_t timer = arm();
    if (i < 2 || !leaking(argc, argv)) timer_delete(timer);
  }
  return 0;
}
