// What the command reads and writes besides reports: settings, file names, whole files, suppressions.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "cli/child.h"
#include "cli/diagnosis.h"
#include "cli/ledger_report.h"
#include "cli/report_source.h"
#include "cli/settings_input.h"
#include "cli/suppression_files.h"
#include "cli/text_file.h"
#include "ledger/writer.h"

namespace unfreed::cli {
namespace {

namespace fs = std::filesystem;

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/unfreed-cli-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  static std::string slurp(const std::string& name) {
    std::string text;
    std::string error;
    EXPECT_TRUE(read_regular_file(name, kMostInputBytes, text, error)) << error;
    return text;
  }

  /// A small ledger of a process of that number and state.
  std::string write_ledger(const std::string& name, int pid, ledger::State state) const {
    std::string file = path(name);
    auto* header = new ledger::Header();
    ledger::lay_out(*header, 1);
    header->pid = pid;
    header->uid = geteuid();
    header->state.store(static_cast<uint32_t>(state));
    header->kinds_tracked = 7;
    int out = open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    EXPECT_EQ(ftruncate(out, static_cast<off_t>(header->file_bytes)), 0);
    EXPECT_EQ(pwrite(out, header, sizeof *header, 0), static_cast<ssize_t>(sizeof *header));
    close(out);
    delete header;
    return file;
  }
  /// A number that no process has now.
  static int dead_pid() {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    waitpid(pid, nullptr, 0);
    return pid;
  }

  fs::path folder_;
};

TEST_F(FilesTest, WritesAllOrNothing) {
  std::string error;
  std::string where;
  EXPECT_TRUE(write_report_file(path("report.json"), "first", {}, error, &where)) << error;
  EXPECT_EQ(where, path("report.json"));
  EXPECT_EQ(slurp(path("report.json")), "first");
  EXPECT_TRUE(write_report_file("/dev/null", "x", {}, error)) << error;
}

TEST_F(FilesTest, SaysWhyAReportCannotBeWritten) {
  auto why_not = [](const std::string& name) {
    std::string error;
    EXPECT_FALSE(write_report_file(name, "x", {}, error)) << name;
    return error;
  };
  EXPECT_EQ(why_not(path("no/such/folder")), "No such file or directory");
  EXPECT_EQ(why_not(folder_.string()), "Is a directory");
  EXPECT_EQ(why_not("/dev/full"), "No space left on device");
  EXPECT_TRUE(why_not(write("notes.txt", "mine")).starts_with("a file of this name exists and is not a report"));
  EXPECT_EQ(slurp(path("notes.txt")), "mine");
}

TEST_F(FilesTest, ReadsSuppressions) {
  SuppressionFiles files;
  std::string error;
  std::string one = write("one.supp", "fd:known\n# remark\n");
  std::string two = write("two.supp", "leak:cache\n");
  ASSERT_TRUE(files.read(one + "::" + two, NamedBy::user, error)) << error;
  ASSERT_EQ(files.all().size(), 2u);
  EXPECT_EQ(files.all()[1].pattern, "cache");
  EXPECT_FALSE(files.read(path("missing"), NamedBy::user, error));
  EXPECT_NE(error.find(path("missing")), std::string::npos);
  EXPECT_FALSE(files.read(write("bad.supp", "fd:x\n\nnonsense\n"), NamedBy::user, error));
  EXPECT_NE(error.find("bad.supp, line 3: "), std::string::npos) << error;
}

TEST_F(FilesTest, RefusesDamagedLedgers) {
  int dead = dead_pid();
  std::string good = write_ledger("good", dead, ledger::State::live);
  std::string error;
  symbolize::Symbolizer symbolizer;
  EXPECT_TRUE(read_report(good, symbolizer, error)) << error;
  std::string header = slurp(good).substr(0, 4096);
  for (size_t at = 8; at < sizeof(ledger::Header); at += 4) {
    std::string damaged = header;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x5a);
    damaged[at + 3] = '\x7f';
    std::string file = write("damaged", damaged);
    error.clear();
    bool is_read = read_report(file, symbolizer, error).has_value();
    EXPECT_TRUE(is_read || error.find("damaged") != std::string::npos) << error;
  }
  EXPECT_FALSE(read_report(write("short", header.substr(0, 100)), symbolizer, error));
  EXPECT_NE(error.find("short"), std::string::npos);
  EXPECT_FALSE(read_report(write_ledger("starting", dead, ledger::State::starting), symbolizer, error));
  EXPECT_NE(error.find("not finished starting"), std::string::npos) << error;
}

TEST(Paths, AreMadeAbsolute) {
  std::string here = fs::current_path().string();
  EXPECT_EQ(make_output_absolute("/a/%p"), "/a/%p");
  EXPECT_EQ(make_output_absolute("-"), "-");
  EXPECT_EQ(make_output_absolute("a.json"), here + "/a.json");
  EXPECT_EQ(make_files_absolute("/x::y"), "/x:" + here + "/y");
  char pattern[] = "/tmp/unfreed-50%p-XXXXXX";
  ASSERT_NE(mkdtemp(pattern), nullptr);
  fs::current_path(pattern);
  std::string text = make_output_absolute("a.%p");
  fs::current_path(here);
  fs::remove(pattern);
  EXPECT_TRUE(text.starts_with("/tmp/unfreed-50%%p-")) << "a folder's percent sign means itself: " << text;
  EXPECT_TRUE(text.ends_with("/a.%p"));
}

TEST_F(FilesTest, ExplainsWhyCmdDoesNotStart) {
  std::string line;
  EXPECT_EQ(explain_start_failure(path("nothing"), ENOENT, line), 127);
  EXPECT_EQ(explain_start_failure("no-such-program-anywhere", ENOENT, line), 127);
  EXPECT_NE(line.find("no-such-program-anywhere: not found"), std::string::npos) << line;
  std::string plain = write("plain", "text");
  EXPECT_EQ(explain_start_failure(plain, EACCES, line), 126);
  EXPECT_EQ(explain_start_failure(folder_.string(), EACCES, line), 126);
  EXPECT_NE(line.find("directory"), std::string::npos) << line;
  std::string script = write("script", "#!/no/such/interpreter\n");
  chmod(script.c_str(), 0755);
  EXPECT_EQ(explain_start_failure(script, ENOENT, line), 126);
  EXPECT_NE(line.find("interpreter"), std::string::npos) << line;
}

TEST_F(FilesTest, DiagnosesScripts) {
  std::string script = write("script", "#!/usr/bin/env sh\n");
  EXPECT_FALSE(diagnose(script).trackable) << "not executable";
  chmod(script.c_str(), 0755);
  Diagnosis diagnosis = diagnose(script);
  EXPECT_TRUE(diagnosis.trackable);
  ASSERT_EQ(diagnosis.files.size(), 2u);
  EXPECT_TRUE(diagnosis.files[1].ends_with("/sh"));
  std::string circle = write("circle", "#!" + path("circle") + "\n");
  chmod(circle.c_str(), 0755);
  EXPECT_FALSE(diagnose(circle).trackable);
  EXPECT_FALSE(diagnose(path("missing")).found);
  std::string orphan = write("orphan", "#!/no/such/interpreter\n");
  chmod(orphan.c_str(), 0755);
  EXPECT_FALSE(diagnose(orphan).trackable);
}

class SettingsTest : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"UNFREED_DEPTH", "UNFREED_FAIL_ON", "UNFREED_OUTPUT", "UNFREED_TRACK"}) unsetenv(name);
  }
  /// Reads `arguments`; false when the command would end with 125.
  bool read(const Arguments& arguments) {
    Parser parser("test", "", "");
    input_.add_options(parser);
    EXPECT_FALSE(parser.parse(arguments));
    testing::internal::CaptureStderr();
    bool fine = input_.read();
    said_ = testing::internal::GetCapturedStderr();
    return fine;
  }
  bool passes_on(const std::string& entry) const {
    std::vector<std::string> environment = input_.environment();
    return std::find(environment.begin(), environment.end(), entry) != environment.end();
  }
  SettingsInput input_;
  std::string said_;
};

TEST_F(SettingsTest, OptionsWinOverVariables) {
  setenv("UNFREED_DEPTH", "7", 1);
  setenv("UNFREED_OUTPUT", "/env.json", 1);
  ASSERT_TRUE(read({"--depth", "9", "--fail-on=fd>0", "--fail-on", "thread>0"}));
  EXPECT_EQ(input_.settings().depth, 9u);
  EXPECT_EQ(input_.settings().output, "/env.json");
  EXPECT_EQ(input_.settings().rules.count, 2u);
  EXPECT_TRUE(passes_on("UNFREED_DEPTH=9"));
  EXPECT_TRUE(passes_on("UNFREED_FAIL_ON=fd>0,thread>0"));
  EXPECT_EQ(said_, "");
}

TEST_F(SettingsTest, BadVariableThatAnOptionReplacesIsNoMatter) {
  setenv("UNFREED_DEPTH", "ten", 1);
  EXPECT_TRUE(read({"--depth=10"}));
  EXPECT_EQ(said_, "");
}

TEST_F(SettingsTest, BadVariableFallsBackLoudlyAndOnce) {
  setenv("UNFREED_DEPTH", "ten", 1);
  ASSERT_TRUE(read({}));
  EXPECT_EQ(input_.settings().depth, report::kDefaultDepth);
  EXPECT_NE(said_.find("UNFREED_DEPTH=ten"), std::string::npos) << said_;
  for (const std::string& entry : input_.environment()) EXPECT_FALSE(entry.starts_with("UNFREED_DEPTH=")) << entry;
}

TEST_F(SettingsTest, BadOptionsAndBadGatesEndTheCommand) {
  EXPECT_FALSE(read({"--depth=ten"}));
  EXPECT_TRUE(said_.starts_with("unfreed: --depth=ten: ")) << said_;
  setenv("UNFREED_FAIL_ON", "fd>", 1);
  SettingsInput other;
  testing::internal::CaptureStderr();
  EXPECT_FALSE(other.read());
  EXPECT_NE(testing::internal::GetCapturedStderr().find("UNFREED_FAIL_ON=fd>"), std::string::npos);
}

TEST(Parser, LeavesCmdsOwnOptionsAlone) {
  Parser parser("run", "", "");
  SettingsInput input;
  input.add_options(parser);
  auto count = [&](const Arguments& arguments) { return parser.count_options(arguments); };
  EXPECT_EQ(count({"ls", "--help"}), 0u);
  EXPECT_EQ(count({"--quiet", "ls", "--help"}), 1u);
  EXPECT_EQ(count({"--fail-on", "fd>0", "ls", "-l"}), 2u);
  EXPECT_EQ(count({"--fail-on=fd>0", "ls", "-l"}), 1u);
  EXPECT_EQ(count({"-o", "x", "ls"}), 2u);
  EXPECT_EQ(count({"-ox", "ls"}), 1u);
  EXPECT_EQ(count({"--", "--weird"}), 1u);
  EXPECT_EQ(count({"-q", "--", "-x"}), 2u);
  EXPECT_EQ(count({"--bogus", "ls"}), 1u);
  EXPECT_EQ(count({"-"}), 0u);
}

}  // namespace
}  // namespace unfreed::cli
