// Handles of dlopen that are lost on an error path; a library's count is the number of its handles.
//! leak: kind=library live=4 by=dlopen function=import line=@open target=libm.so.6
//! clean:
#include <dlfcn.h>

#include "planted.h"

static int import(const char* entry) {
  void* handle = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);  // @open
  if (!handle || !dlsym(handle, entry)) return -1;
  return dlclose(handle);
}

int main(int argc, char** argv) {
  for (int i = 0; i < 6; ++i) import(i < 2 || !leaking(argc, argv) ? "cos" : "no_such_function");
  return 0;
}
