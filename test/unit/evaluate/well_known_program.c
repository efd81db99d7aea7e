// What programs are known by (settings/default_suppressions.inc), all in one.
#define EXPORTED(name) \
  __attribute__((visibility("default"))) void name(void) {}

EXPORTED(execute_command)
EXPORTED(zsh_main)
EXPORTED(_ZN4node5StartEiPPc)
EXPORTED(Py_Main)
EXPORTED(perl_parse)
EXPORTED(ruby_init)
