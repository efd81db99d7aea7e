#include "names/code_owner.h"

#include <gtest/gtest.h>

namespace unfreed::report {
namespace {

CodeOwner owner(std::string_view module, std::string_view file, std::string_view function) {
  return owner_of({module, file, function});
}

TEST(CodeOwner, ProgramsOwnCodeIsByModuleAndSource) {
  EXPECT_EQ(owner("/home/me/build/app", "/home/me/src/log.cpp", "Log::open()"), CodeOwner::program);
  EXPECT_EQ(owner("/home/me/build/app", "", "open_log"), CodeOwner::program);
  EXPECT_EQ(owner("/home/me/build/app", "/home/me/src/core.cpp", "core::Engine::start()"), CodeOwner::program);
  EXPECT_EQ(owner("/usr/local/bin/app", "", "main"), CodeOwner::program);
  EXPECT_EQ(owner("/usr/src/app/build/app", "/usr/src/app/main.c", "main"), CodeOwner::program);
}

TEST(CodeOwner, SystemsModulesAndHeadersAreLibraries) {
  EXPECT_EQ(owner("/usr/lib/x86_64-linux-gnu/libc.so.6", "", "fopen"), CodeOwner::library);
  EXPECT_EQ(owner("/lib64/libz.so.1", "/build/zlib/gz.c", "gzopen"), CodeOwner::library);
  EXPECT_EQ(owner("/usr/bin/python3.11", "", "PyObject_Vectorcall"), CodeOwner::library);
  EXPECT_EQ(owner("[vdso]", "", "clock_gettime"), CodeOwner::library);
  EXPECT_EQ(owner("", "", ""), CodeOwner::library);
  EXPECT_EQ(owner("/home/me/app", "/usr/include/boost/asio/socket.hpp", "open"), CodeOwner::library);
  EXPECT_EQ(owner("/home/me/app", "/opt/gcc/include/c++/12/bits/vector.tcc", "x"), CodeOwner::library);
}

TEST(CodeOwner, RustsLibraryIsBySourceOrLinkedName) {
  EXPECT_EQ(owner("/home/me/app", "/rustc/897e3755/library/alloc/src/vec/mod.rs", "alloc::vec::push"),
            CodeOwner::library);
  EXPECT_EQ(owner("/home/me/app", "/usr/src/rustc-1.63.0/library/std/src/fs.rs", "std::fs::File::open"),
            CodeOwner::library);
  EXPECT_EQ(owner("/home/me/app", "/home/me/.cargo/registry/src/github.com-1/tokio-1.0/src/net.rs", "tokio::net"),
            CodeOwner::library);
  EXPECT_EQ(owner("/home/me/app", "", "_ZN4core3ptr4drop17h0123456789abcdefE"), CodeOwner::library);
  EXPECT_EQ(owner("/home/me/app", "", "_ZN4core6Engine5startEv"), CodeOwner::program);
}

TEST(CodeOwner, WithoutSourceNamesTell) {
  EXPECT_EQ(owner("/home/me/app", "", "std::vector<int>::push_back(int const&)"), CodeOwner::library);
  EXPECT_EQ(owner("/home/me/app", "", "_ZNSt6vectorIiSaIiEE9push_backEOi"), CodeOwner::library);
  EXPECT_EQ(owner("/home/me/app", "", "boost::asio::io_context::run()"), CodeOwner::library);
  EXPECT_EQ(owner("/home/me/app", "", "boosted::run()"), CodeOwner::program);
}

TEST(CodeOwner, PythonsOwnModulesAreLibraries) {
  for (const char* module : {"/opt/py/bin/python3.11", "/home/me/py/lib/libpython3.12.so.1.0",
                             "/home/me/py/lib/python3.11/lib-dynload/_socket.cpython-311-x86_64-linux-gnu.so",
                             "/home/me/venv/lib/python3.11/site-packages/numpy/core/_multiarray.so"})
    EXPECT_EQ(owner(module, "/tmp/build/Python-3.11.7/Modules/socketmodule.c", "sock_new"), CodeOwner::library)
        << module;
  for (const char* module : {"/home/me/python3x", "/home/me/my_module.cpython-311-x86_64-linux-gnu.so"})
    EXPECT_EQ(owner(module, "/home/me/my_module.c", "my_new"), CodeOwner::program) << module;
}

TEST(CodeOwner, GeneratedCodeIsBySourceOrName) {
  EXPECT_EQ(owner("", "/srv/log.js", "openLog"), CodeOwner::program);
  EXPECT_EQ(owner("", "node:fs", "openSync"), CodeOwner::library);
  EXPECT_EQ(owner("", "/srv/node_modules/pino/pino.js", "write"), CodeOwner::library);
  EXPECT_EQ(owner("", "", "void Log.open(java.lang.String)"), CodeOwner::program);
  EXPECT_EQ(owner("", "", "void java.io.FileInputStream.open0(java.lang.String)"), CodeOwner::library);
  EXPECT_EQ(owner("", "", "Ljava/io/FileInputStream;::open0"), CodeOwner::library);
  EXPECT_EQ(owner("", "", "Interpreter"), CodeOwner::library);
  EXPECT_EQ(owner("", "", "StubRoutines (1)"), CodeOwner::library);
}

TEST(CodeOwner, StartCodeIsEverybodys) {
  EXPECT_EQ(owner("/home/me/app", "", "_start"), CodeOwner::start);
  EXPECT_EQ(owner("/usr/lib/libc.so.6", "", "__libc_start_call_main"), CodeOwner::start);
  EXPECT_EQ(owner("/opt/program", "", "__libc_csu_init"), CodeOwner::start);
  EXPECT_EQ(owner("/home/me/app", "/home/me/start.c", "start"), CodeOwner::program);
}

}  // namespace
}  // namespace unfreed::report
