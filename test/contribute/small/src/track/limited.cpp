#include "track/limited.h"

int limited(int number) {
  if (number > 100) return 100;
  return number;
}

int unlimited(int number) { return number + 1; }
