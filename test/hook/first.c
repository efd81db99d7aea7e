/* See first_library.c. */
int acquire_late(void);

int main(void) { return acquire_late(); }
