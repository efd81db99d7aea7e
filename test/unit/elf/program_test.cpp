// What files say of the programs in them.
#include "elf/program.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

#include "elf/opened.h"

namespace unfreed::elf {
namespace {

namespace fs = std::filesystem;

std::string sample(const std::string& form) { return std::string(SAMPLE_FOLDER) + "/sample-" + form; }

std::string contents(const std::string& path) {
  std::stringstream all;
  all << std::ifstream(path, std::ios::binary).rdbuf();
  return all.str();
}

Bytes in_memory(const std::string& text) {
  return Bytes({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

class ProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/unfreed-elf-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// Builds `source` as C; the path of the program.
  std::string build(const std::string& source, const std::string& options) {
    std::string base = folder_ / std::to_string(++count_);
    std::ofstream(base + ".c") << source;
    std::string command = "gcc -w -o " + base + " " + base + ".c " + options;
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    return base;
  }
  Program read(const std::string& path, Depth depth = Depth::whole) {
    Opened file(path.c_str());
    EXPECT_TRUE(file) << path;
    Program program;
    EXPECT_EQ(read_program(file.bytes(), depth, program), nullptr) << path;
    return program;
  }

  fs::path folder_;
  int count_ = 0;
};

constexpr char kPlain[] = "int main(void) { return 0; }";

TEST_F(ProgramTest, AnOrdinaryProgramCanBeTracked) {
  Program program = read(build(kPlain, ""));
  EXPECT_EQ(program.loader, Loader::glibc);
  EXPECT_NE(std::string(program.interpreter).find("ld-linux"), std::string::npos);
  EXPECT_EQ(obstacle_of(program), Obstacle::none);
  EXPECT_FALSE(program.is_go);
  EXPECT_FALSE(program.exports_malloc);
  EXPECT_EQ(program.sanitizer, Sanitizer::none);
  EXPECT_EQ(program.inner_allocator, "");
}

TEST_F(ProgramTest, StaticProgramsCannot) {
  for (const char* options : {"-static", "-static-pie"}) {
    Program program = read(build(kPlain, options));
    EXPECT_EQ(program.loader, Loader::none) << options;
    EXPECT_EQ(obstacle_of(program), Obstacle::static_program) << options;
  }
}

TEST_F(ProgramTest, TheLoaderByItselfIsNoStaticProgram) {
  Program program = read(read(build(kPlain, "")).interpreter);
  EXPECT_EQ(program.loader, Loader::glibc);
  EXPECT_EQ(obstacle_of(program), Obstacle::none);
}

TEST_F(ProgramTest, LoadersAreToldByNameOrByTheLibcThatIsNeeded) {
  EXPECT_EQ(obstacle_of(read(build(kPlain, "-Wl,-I/lib/ld-musl-x86_64.so.1"))), Obstacle::musl);
  EXPECT_EQ(obstacle_of(read(build(kPlain, "-Wl,-I/opt/own/loader.so"))), Obstacle::none);
  EXPECT_EQ(obstacle_of(read(build("void _start(void) {}", "-nostdlib -Wl,-I/opt/own/loader.so -pie -fPIE"))),
            Obstacle::foreign_loader);
}

TEST_F(ProgramTest, SharedSanitizersAreTold) {
  Program shared = read(build(kPlain, "-fsanitize=address"), Depth::start);
  EXPECT_EQ(shared.sanitizer, Sanitizer::address);
  EXPECT_TRUE(std::string(shared.sanitizer_library).starts_with("libasan.so"));
  EXPECT_TRUE(shared.must_come_first());
  Program linked_in = read(build(kPlain, "-fsanitize=address -static-libasan"));
  EXPECT_FALSE(linked_in.must_come_first());
  EXPECT_TRUE(linked_in.exports_malloc);
  EXPECT_EQ(read(build(kPlain, "-fsanitize=thread")).sanitizer, Sanitizer::thread);
  EXPECT_FALSE(read(build(kPlain, "-fsanitize=thread")).must_come_first());
}

TEST_F(ProgramTest, OwnAllocatorsAreTold) {
  const std::string own = "void* malloc(unsigned long n) { return 0; } int main(void) { return 0; }";
  EXPECT_TRUE(read(build(own, "-Wl,--export-dynamic")).exports_malloc);
  EXPECT_TRUE(read(build(own, "-Wl,--export-dynamic -Wl,--hash-style=sysv")).exports_malloc);
  const std::string hidden = "const char* said = \"<jemalloc>: %s\"; int main(void) { return said[0]; }";
  EXPECT_EQ(read(build(hidden, "-O2 -s")).inner_allocator, "jemalloc");
  EXPECT_EQ(read(build(hidden, "-O2 -s"), Depth::start).inner_allocator, "");
  // A sign across two of the pieces that a file is read in.
  std::string padded = "const char said[9000] = {[4080 ... 4095] = 'x'}; const char more[] = \"" +
                       std::string(16378, 'y') +
                       "mimalloc: warning: \"; int main(int n, char** v) { return said[n] + more[n]; }";
  EXPECT_EQ(read(build(padded, "-s")).inner_allocator, "mimalloc");
  const std::string others =
      "const char* said = \"::<jemalloc:mimalloc: warned: \"; int main(void) { return said[0]; }";
  EXPECT_EQ(read(build(others, "-O2 -s")).inner_allocator, "");
  const std::string last = "const char* said = \": <jemalloc::<jemalloc>: \"; int main(void) { return said[0]; }";
  EXPECT_EQ(read(build(last, "-O2 -s")).inner_allocator, "jemalloc");
}

TEST_F(ProgramTest, GoIsToldByItsNote) {
  const std::string note =
      "__attribute__((section(\".note.go.buildid\"), used, aligned(4))) static const struct { int a, b, c; char n[4]; "
      "int v; }"
      "note = {4, 4, 4, \"Go\", 0}; int main(void) { return 0; }";
  EXPECT_TRUE(read(build(note, "")).is_go);
  EXPECT_EQ(obstacle_of(read(build(note, "-static"))), Obstacle::static_go);
}

TEST_F(ProgramTest, OtherClassesAndProcessorsAreTold) {
  std::string elf = contents(sample("dwarf5"));
  Program program;
  ASSERT_EQ(read_program(in_memory(elf), Depth::whole, program), nullptr);
  elf[EI_NIDENT + 2] = static_cast<char>(EM_RISCV & 0xff);
  ASSERT_EQ(read_program(in_memory(elf), Depth::whole, program), nullptr);
  EXPECT_EQ(obstacle_of(program), Obstacle::other_processor);
  elf[EI_DATA] = ELFDATA2MSB;
  EXPECT_STREQ(read_program(in_memory(elf), Depth::whole, program), "an ELF file of the other byte order");

  Elf32_Ehdr small{};
  std::memcpy(small.e_ident, ELFMAG, SELFMAG);
  small.e_ident[EI_CLASS] = ELFCLASS32;
  small.e_ident[EI_DATA] = ELFDATA2LSB;
  small.e_machine = EM_386;
  std::string text(reinterpret_cast<const char*>(&small), sizeof small);
  ASSERT_EQ(read_program(in_memory(text), Depth::whole, program), nullptr);
  EXPECT_FALSE(program.is_64_bit);
  EXPECT_EQ(obstacle_of(program), Obstacle::other_processor);
}

TEST_F(ProgramTest, WhatIsNoProgramIsSaid) {
  Program program;
  EXPECT_STREQ(read_program(in_memory(""), Depth::whole, program), "not an ELF file");
  EXPECT_STREQ(read_program(in_memory("#!/bin/sh\n"), Depth::whole, program), "not an ELF file");
  EXPECT_STREQ(read_program(in_memory(contents(sample("dwarf5")).substr(0, 40)), Depth::whole, program),
               "a damaged ELF file: cut short");
}

TEST_F(ProgramTest, ScriptsLeadToTheirInterpreters) {
  auto script = [](const std::string& text) {
    char interpreter[64] = "", argument[64] = "";
    bool found = read_script(in_memory(text), interpreter, argument);
    return found ? std::string(interpreter) + "|" + argument : "none";
  };
  EXPECT_EQ(script("#!/bin/sh\necho"), "/bin/sh|");
  EXPECT_EQ(script("#! /usr/bin/env\tpython3 -u \nx"), "/usr/bin/env|python3 -u");
  EXPECT_EQ(script("#!/bin/sh"), "/bin/sh|");
  EXPECT_EQ(script("#!\n/bin/sh"), "none");
  EXPECT_EQ(script("# !/bin/sh\n"), "none");
  EXPECT_EQ(script(""), "none");
}

TEST_F(ProgramTest, PrivilegesThatTheLoaderMindsAreTold) {
  std::string path = build(kPlain, "");
  auto of = [&] {
    Opened file(path.c_str());
    return privilege_of(file.file());
  };
  EXPECT_EQ(of(), Obstacle::none);
  ASSERT_EQ(chmod(path.c_str(), 04755), 0);
  EXPECT_EQ(of(), Obstacle::none) << "set to its own user";
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
  ASSERT_EQ(chmod(path.c_str(), 04755), 0);
  EXPECT_EQ(of(), Obstacle::set_uid);
  ASSERT_EQ(chmod(path.c_str(), 02755), 0);
  EXPECT_EQ(of(), Obstacle::set_gid);
  ASSERT_EQ(chmod(path.c_str(), 02745), 0);
  EXPECT_EQ(of(), Obstacle::none) << "not a set-gid program";
}

TEST_F(ProgramTest, WhatIsNoRegularFileIsNotOpened) {
  std::string fifo = folder_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_STREQ(Opened(fifo.c_str()).problem().what, base::kNotRegular);
  EXPECT_STREQ(Opened("/dev/zero").problem().what, base::kNotRegular);
  EXPECT_EQ(Opened((folder_ / "nothing").c_str()).problem().error, ENOENT);
}

TEST_F(ProgramTest, DamagedFilesAreSurvived) {
  std::mt19937_64 random(11);
  for (const std::string& whole :
       {contents(sample("dwarf5")).substr(0, 20'000), contents(build(kPlain, "-static")).substr(0, 20'000)}) {
    for (int round = 0; round < 3000; ++round) {
      std::string damaged = whole;
      if (round % 10 == 0) damaged.resize(random() % whole.size());
      for (size_t hit = 0; hit < 6 && !damaged.empty(); ++hit) {
        size_t reach = std::min<size_t>(damaged.size(), round % 2 ? 1024 : damaged.size());
        damaged[random() % reach] = static_cast<char>(random());
      }
      Program program;
      read_program(in_memory(damaged), Depth::whole, program);
      EXPECT_LT(strnlen(program.interpreter, sizeof program.interpreter), sizeof program.interpreter);
    }
  }
}

}  // namespace
}  // namespace unfreed::elf
