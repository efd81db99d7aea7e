/* Built twice, with frames of different size around the same code: what is known of the one must not be believed of the
   other when that is loaded in its place. */
int call_back(void (*function)(void)) {
  volatile char room[ROOM];
  room[0] = 1;
  function();
  return room[0];
}
