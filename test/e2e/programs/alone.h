// Waiting for threads to be gone for good: not merely past their start routine, but off the kernel's list.
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

/// Returns when the calling thread is the process's only one.
static inline void wait_until_alone(void) {
  for (int tries = 0; tries < 5000; tries++) {
    int tasks = 0;
    DIR* list = opendir("/proc/self/task");
    for (struct dirent* entry; (entry = readdir(list));) tasks += entry->d_name[0] != '.';
    closedir(list);
    if (tasks == 1) return;
    usleep(2000);
  }
  fputs("threads are still running after 10 s\n", stderr);
  _exit(99);
}
