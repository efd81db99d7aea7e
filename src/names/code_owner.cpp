#include "names/code_owner.h"

#include "base/text.h"
#include "names/demangle.h"

namespace unfreed::report {

namespace {

template <size_t kCount>
bool starts_with_any(std::string_view text, const std::string_view (&starts)[kCount]) {
  for (std::string_view start : starts)
    if (text.starts_with(start)) return true;
  return false;
}

/// What virtual machines generate for themselves.
constexpr std::string_view kVirtualMachines[] = {"Interpreter", "StubRoutines", "I2C/C2I adapters", "vtable stub",
                                                 "itable stub", "Builtin:",     "BytecodeHandler:", "RegExp:"};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

/// Rust's names end in a hash, or begin with "_R": "core" and "alloc" are its library's there, anybody's elsewhere.
bool is_linked_in_rust(std::string_view name) {
  constexpr size_t kHashBytes = 20;  // "17h", 16 digits, "E"
  if (name.starts_with("_R")) return true;
  return name.starts_with("_ZN") && name.size() > kHashBytes && name.ends_with('E') &&
         base::slice(name, name.size() - kHashBytes, 3) == "17h";
}

/// CPython or a module of its library or of an installed package, wherever they are.
bool is_python(std::string_view path) {
  for (std::string_view folder : {"/lib-dynload/", "/site-packages/", "/dist-packages/"})
    if (contains(path, folder)) return true;
  std::string_view name = base::base_name(path);
  for (std::string_view start : {"libpython3", "python3"})
    if (name.starts_with(start)) return name.size() == start.size() || name[start.size()] == '.';
  return false;
}

}  // namespace

bool is_start_code(std::string_view function) {
  for (std::string_view name : {"_start", "start_thread", "__clone3", "clone3", "clone", "__clone",
                                "__libc_csu_init"})  // a program's part of libc, before glibc 2.34
    if (function == name) return true;
  return function.starts_with("__libc_start_");
}

bool is_system_module(std::string_view path) {
  constexpr std::string_view kOwn[] = {"/usr/local/", "/usr/src/", "/usr/home/"};
  constexpr std::string_view kSystem[] = {"/usr/",  "/lib/",       "/lib32/", "/lib64/",     "/libx32/", "/bin/",
                                          "/sbin/", "/nix/store/", "/snap/",  "/gnu/store/", "[vdso",    "[vsyscall]"};
  if (path.empty() || is_python(path)) return true;
  return starts_with_any(path, kSystem) && !starts_with_any(path, kOwn);
}

bool is_library_source(std::string_view file) {
  constexpr std::string_view kSystem[] = {"/usr/include/",  "/usr/lib/",         "/usr/lib64/",
                                          "/rustc/",        "/usr/src/rustc-",   "/usr/share/cargo/registry/",
                                          "/usr/share/go-", "/usr/local/go/src/"};
  return starts_with_any(file, kSystem) || contains(file, "/include/c++/") || contains(file, "/.cargo/registry/") ||
         contains(file, "/site-packages/") || contains(file, "/dist-packages/") || contains(file, "/lib/python3.") ||
         file.starts_with("<frozen ") || contains(file, "/.cargo/git/") || contains(file, "/.rustup/toolchains/") ||
         contains(file, "/go/pkg/mod/") || file.starts_with("node:") || contains(file, "/node_modules/");
}

bool is_library_function(std::string_view function) {
  if (is_linked_in_rust(function)) {
    // "_ZN4core3ptr…", "_RNvNtCs1234_4core3ptr…"; with a type's name before it, the owner is unknown.
    constexpr std::string_view kRust[] = {"_ZN4core", "_ZN5alloc", "_ZN3std", "_ZN7__rustc"};
    return starts_with_any(function, kRust);
  }
  // Names as they are linked are seen where a process at its limits has written the report.
  constexpr std::string_view kNames[] = {"std::",  "__gnu_cxx::", "__cxxabiv1::",  "boost::",   "operator new", "_ZNSt",
                                         "_ZNKSt", "_ZSt",        "_ZN9__gnu_cxx", "_ZN5boost", "_ZNK5boost",   "_Znw",
                                         "_Zna",   "__rust_",     "<std::",        "<core::",   "<alloc::"};
  return starts_with_any(function, kNames);
}

bool is_library_method(std::string_view method) {
  method = base::slice(method, 0, method.find('('));
  while (method.ends_with(' ')) method.remove_suffix(1);
  if (starts_with_any(method, kVirtualMachines)) return true;
  // "void java.io.FileInputStream.open0": the type that it returns comes first.
  size_t space = method.rfind(' ');
  if (space != method.npos) method.remove_prefix(space + 1);
  constexpr std::string_view kPackages[] = {"java.",   "javax.", "jdk.",  "sun.",      "com.sun.", "Ljava/",
                                            "Ljavax/", "Ljdk/",  "Lsun/", "Lcom/sun/", "System.",  "Microsoft."};
  return starts_with_any(method, kPackages);
}

CodeOwner owner_of(const CodeNames& names) {
  if (is_start_code(names.function)) return CodeOwner::start;
  // Code without a module that has a name was made while the program ran: from its source, or from a library's.
  bool is_generated = names.module.empty() && !(names.function.empty() && names.file.empty());
  if (!is_generated && is_system_module(names.module)) return CodeOwner::library;
  if (is_generated && names.file.empty() && is_library_method(names.function)) return CodeOwner::library;
  bool is_library = names.file.empty() ? is_library_function(names.function) : is_library_source(names.file);
  return is_library ? CodeOwner::library : CodeOwner::program;
}

}  // namespace unfreed::report
