/* A library with one function, built in several ways: with frames of different size around the same code (what is known
   of the one must not be believed of the other when that is loaded in its place), linked to lie in the same place, and
   with either kind of table of what it exports. */
int call_back(void (*function)(void)) {
  volatile char room[ROOM];
  room[0] = 1;
  function();
  return room[0];
}
