/* Calls a function of the program that has loaded it, built in every way in which such calls are made. */
void* where_called(void);

void* call_by_name(void) {
  void* place = where_called();
  __asm__ volatile("" ::: "memory"); /* or it would be a jump */
  return place;
}

static void* (*pointer)(void) = where_called;

void set_pointer(void* (*function)(void)) { pointer = function; } /* so that it is no constant */

void* call_by_variable(void) {
  void* place = pointer();
  __asm__ volatile("" ::: "memory");
  return place;
}

void* call_by_pointer(void* (*function)(void)) {
  void* place = function();
  __asm__ volatile("" ::: "memory");
  return place;
}
