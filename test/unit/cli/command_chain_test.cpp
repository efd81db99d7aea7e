#include "cli/command_chain.h"

#include <gtest/gtest.h>

namespace unfreed::cli {
namespace {

using Words = std::vector<std::string>;

/// "timeout make!sudo": names, and after "!" what has cleared the environment.
std::string programs(const Words& words) {
  std::string text;
  for (const ChainedProgram& one : follow_command(words).programs)
    text += (text.empty() ? "" : " ") + one.name + (one.cleared_by.empty() ? "" : "!" + one.cleared_by);
  return text;
}
std::string script(const std::string& text) { return programs({"sh", "-c", text}); }

TEST(CommandChain, ACommandIsItself) {
  EXPECT_EQ(programs({"./server", "timeout", "5"}), "./server");
  EXPECT_EQ(programs({"A=1", "x"}), "A=1");
  EXPECT_EQ(programs({"timeout"}), "timeout");
}

TEST(CommandChain, WrappersNameTheNext) {
  EXPECT_EQ(programs({"timeout", "5", "./server", "-k"}), "timeout ./server");
  EXPECT_EQ(programs({"/usr/bin/timeout", "-k", "1", "--signal=INT", "--foreground", "5", "./server"}),
            "/usr/bin/timeout ./server");
  EXPECT_EQ(programs({"timeout", "--kill-after", "1", "-sINT", "5", "./server"}), "timeout ./server");
  EXPECT_EQ(programs({"nice", "-n", "5", "--", "ionice", "-c2", "nohup", "./server"}), "nice ionice nohup ./server");
  EXPECT_EQ(programs({"env", "A=1", "B=2", "./server", "C=3"}), "env ./server");
  EXPECT_EQ(programs({"env", "-S", "A=1 ./server -v", "more"}), "env ./server");
  EXPECT_EQ(programs({"taskset", "-c", "0,1", "strace", "-f", "-o", "log", "./server"}), "taskset strace ./server");
  EXPECT_EQ(programs({"xargs", "-0", "-n", "1", "gzip", "-9"}), "xargs gzip");
  EXPECT_EQ(programs({"xargs", "-i", "rm", "{}"}), "xargs rm");
  EXPECT_EQ(programs({"setarch", "x86_64", "-R", "./server"}), "setarch ./server");
  EXPECT_EQ(programs({"setarch", "-R", "./server"}), "setarch ./server");
  EXPECT_EQ(programs({"x86_64", "-R", "./server"}), "x86_64 ./server");
  EXPECT_EQ(programs({"runuser", "-u", "www", "--", "./server"}), "runuser ./server");
  EXPECT_EQ(programs({"flock", "lock", "-c", "./server; ./other"}), "flock ./server ./other");
}

TEST(CommandChain, ClearedEnvironments) {
  EXPECT_EQ(programs({"env", "-i", "A=1", "./server"}), "env ./server!env -i");
  EXPECT_EQ(programs({"env", "-", "./server"}), "env ./server!env -");
  EXPECT_EQ(programs({"env", "-u", "LD_PRELOAD", "./server"}), "env ./server!env -u LD_PRELOAD");
  EXPECT_EQ(programs({"env", "-uHOME", "./server"}), "env ./server");
  EXPECT_EQ(programs({"env", "-iu", "HOME", "./server"}), "env ./server!env -iu");
  EXPECT_EQ(programs({"env", "--ignore-env", "./server"}), "env ./server!env --ignore-env");
  EXPECT_EQ(script("./a; unset LD_PRELOAD; ./b"), "sh ./a ./b!unset LD_PRELOAD");
  EXPECT_EQ(script("export LD_PRELOAD=; ./a"), "sh ./a!LD_PRELOAD=");
  EXPECT_EQ(programs({"sudo", "-u", "www", "A=1", "nice", "make"}), "sudo nice!sudo make!sudo");
  EXPECT_EQ(script("LD_PRELOAD= ./server"), "sh ./server!LD_PRELOAD=");
}

TEST(CommandChain, ScriptsOfShells) {
  EXPECT_EQ(script("./a; ./b && ./c || ./d | ./e & ./f\n./g"), "sh ./a ./b ./c ./d ./e ./f ./g");
  EXPECT_EQ(script("cd x; A=1 B=2 ./server 'a; b' \"c && d\" # ./not"), "sh ./server");
  EXPECT_EQ(script("./server >out 2>&1 <in; ( cd y && ./other ) > log"), "sh ./server ./other");
  EXPECT_EQ(script("if test -f x; then ./a; else ! ./b; fi; for i in ./c ./d; do exec ./e $i; done"), "sh ./a ./b ./e");
  EXPECT_EQ(script("exec env -i timeout 5 ./server"), "sh env timeout!env -i ./server!env -i");
  EXPECT_EQ(script("./two\\ words; './quo'\"ted\""), "sh ./two words ./quoted");
  EXPECT_EQ(script("sh -c './inner; true'; ./outer"), "sh ./inner ./outer");
  EXPECT_EQ(programs({"bash", "-o", "pipefail", "-ec", "./server"}), "bash ./server");
  EXPECT_EQ(programs({"su", "-", "www", "-c", "./server"}), "su ./server");
  EXPECT_EQ(programs({"bash", "--rcfile", "f", "-c", "[[ -f x ]] && ./server"}), "bash ./server");
}

TEST(CommandChain, WhatIsOnlyKnownLater) {
  CommandChain chain = follow_command({"sh", "-c", "$CC -c x.c; `which ld`; $(which as) x; ${LD:-ld}; ./known $X"});
  EXPECT_TRUE(chain.has_unknown);
  ASSERT_EQ(chain.programs.size(), 2u);
  EXPECT_EQ(chain.programs[1].name, "./known");
  EXPECT_FALSE(follow_command({"./server", "$X"}).has_unknown);
  EXPECT_EQ(follow_command({"nice", "make", "check"}).starters, Words{"make"});
  EXPECT_EQ(follow_command({"bash", "-x", "./t.sh"}).starters, Words{"./t.sh"});
}

TEST(CommandChain, OddScripts) {
  for (const char* text :
       {"", "'", "\"", "\\", "$", "$(", "${", "`", "a'b", ">", "2>", "(((", "for", "env", "sh -c", "\n;;"})
    script(text);
  std::string deep = "x";
  for (int at = 0; at < 100; ++at) deep = "nice " + deep;
  script(deep);
}

}  // namespace
}  // namespace unfreed::cli
