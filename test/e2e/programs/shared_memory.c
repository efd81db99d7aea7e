// Attachments that are never detached, of segments that go with the last of them.
//! leak: kind=shm live=3 bytes=12288 by=shmat function=attach line=@attach
//! clean:
#include <sys/shm.h>

#include "planted.h"

static void* attach(void) {
  int segment = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  void* memory = shmat(segment, NULL, 0);  // @attach
  shmctl(segment, IPC_RMID, NULL);
  return memory;
}

int main(int argc, char** argv) {
  for (int i = 0; i < 5; ++i) {
    void* memory = attach();
    if (i < 2 || !leaking(argc, argv)) shmdt(memory);
  }
  return 0;
}
