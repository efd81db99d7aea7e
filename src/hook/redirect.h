// A library that is loaded into a process that runs already is found by nobody: the loader has bound the references of
// all objects. So those to the real functions are made to lead to the hooks, and back when the library is to be out of
// the way:
//
//     object's GOT entry, or a pointer that the loader has filled in:   real function  ◀──▶  hook
//
// A reference that the loader binds only at its first call is bound to the hook. References that lead elsewhere, to a
// library's or the program's own function of that name, are left alone. Addresses that the program has copied, or got
// from dlsym(), bypass the hooks.
//
#pragma once

namespace unfreed::hook {

/// Of all objects that are loaded. No other thread runs. False: one of them is doing the same, or is loading or
/// unloading an object; nothing was done.
bool redirect_references();
/// The same: from now on nothing is redirected.
bool restore_references();

/// dlopen() has returned `handle`: those of the objects that it has loaded, while references are redirected.
void redirect_loaded(const void* handle);

/// In a fork child the thread that was at work here does not exist.
void reset_redirection_after_fork();

}  // namespace unfreed::hook
