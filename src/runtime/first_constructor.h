// The loader runs one library's constructors before all others', if it is linked with -z initfirst: the last such
// library that it has loaded. This one is; but so is libpthread before glibc 2.34, which is loaded later. This library
// then starts as a part of that one's initialisation. Otherwise what libraries acquire in their constructors would not
// be seen, and what they release in their destructors would be reported.
#pragma once

namespace unfreed::runtime {

using Constructor = void (*)(int argc, char** argv, char** environment);

/// Lets `constructor` run right after the initialisation of the library that comes first, if that is another one.
/// Called while the loader relocates this library. The loader reads a library's DT_INIT when it calls it, from the
/// library's dynamic section in memory; it has its original value again by the time that other code can look at it.
void run_first(Constructor constructor);

}  // namespace unfreed::runtime
