// A pipe whose read end is forgotten.
//! leak: kind=fd live=1 total=2 by=pipe2? function=main line=@pipe target=pipe:*
//! clean:
#include "planted.h"

int main(int argc, char** argv) {
  int ends[2];
  if (pipe(ends)) return 1;  // @pipe
  close(ends[1]);
  if (!leaking(argc, argv)) close(ends[0]);
  return 0;
}
