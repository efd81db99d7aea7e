// What takes whose place, and what is left alone.
#include "report/report_file.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <memory>

#include "base/time_text.h"
#include "report/report_head.h"
#include "support/scratch_folder.h"

namespace unfreed::report {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

constexpr uint64_t kSecond = 1'000'000'000;

uint64_t now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<uint64_t>(time.tv_sec) * kSecond + static_cast<uint64_t>(time.tv_nsec);
}

std::string json(int pid, const std::string& started, const std::string& run, const std::string& body = "") {
  return R"({"schema_version": 2, "tool": {"name": "unfreed", "version": "9"}, "notes": ["\"process\": {\"pid\": 7"],)"
         R"("process": {"pid": )" +
         std::to_string(pid) + (run.empty() ? "" : R"(, "run": ")" + run + '"') + R"(, "started": ")" + started +
         R"("}, "children": [{"process": 3}], "body": ")" + body + "\"}\n";
}

TEST(ReportHead, KnowsReports) {
  auto content = [](std::string_view text) { return read_head(text).content; };
  EXPECT_EQ(content(""), Content::nothing);
  for (std::string_view text :
       {R"({"schema_version": 1, "tool": {"name": "unfreed")",
        "\n{\n  \"schema_version\" : 12,\n\t\"tool\": {\r\n \"name\": \"unfreed\",", kPageStart.data(),
        "unfreed: service (pid 12) exited with status 0\n  fd", "unfreed: a (pid 1) -> b (pid 2)\n"})
    EXPECT_EQ(content(text), Content::report) << text;
  for (std::string_view text :
       {" ", "x",
        "\x7f"
        "ELF",
        "#!/bin/sh\n", "{", "{}", R"({"schema_version": "1.4.0", "id": "x"})",
        R"({"schema_version": 1, "tool": {"name": "other"})", R"({"schema_version": 1, "results": [])",
        R"(["schema_version"])", "<!DOCTYPE html>\n<html>\n<head>\n<title>unfreed: x</title>", "unfreed: an error\n",
        "unfreed: an error\nin (pid 2)", "unfreed"})
    EXPECT_EQ(content(text), Content::foreign) << text;
}

TEST(ReportHead, KnowsWhoseAReportIs) {
  std::string text = json(4032, "2026-01-02T03:04:05.000000006Z", "17-99");
  ReportHead head = read_head(text);
  EXPECT_EQ(head.pid, 4032);
  EXPECT_EQ(head.started, "2026-01-02T03:04:05.000000006Z");
  EXPECT_EQ(head.run, "17-99");
  for (size_t size = 0; size < text.size(); ++size) read_head(text.substr(0, size));
  text = json(4032, "then", "");
  EXPECT_EQ(read_head(text).run, "");
  text = json(1, R"(a\"b)", "");
  EXPECT_EQ(read_head(text).started, "") << "not as this program writes it";
}

class ReportFiles : public test::ScratchFolder {
 protected:
  struct Result {
    std::string problem;
    std::string path;
    bool has_replaced_recent = false;
  };

  Result put(const std::string& name, const std::string& text, const ReportFileOptions& options = {}) {
    auto file = std::make_unique<ReportFile>();
    base::FileProblem problem = file->open(name.starts_with('/') || name == "-" ? name : path(name), options);
    if (!problem) problem = file->write(text);
    if (!problem) problem = file->keep();
    base::FixedText<128> why;
    if (problem) base::add_problem(why, problem);
    return {std::string(why.text()), std::string(file->path()), file->has_replaced_recent()};
  }

  /// A report of a process; the name it has got.
  std::string put_of(const Author& author, const std::string& body, const std::string& name = "r.json",
                     bool has_pid = false) {
    ReportFileOptions options{.author = &author, .has_pid = has_pid};
    std::string text = json(author.pid, std::string(author.started), std::string(author.run), body);
    Result result = put(name, text, options);
    EXPECT_EQ(result.problem, "");
    has_replaced_recent_ = result.has_replaced_recent;
    return fs::path(result.path).filename();
  }
  bool holds(const std::string& name, const std::string& body) const {
    return read(name).find(body) != std::string::npos;
  }
  void make_old(const std::string& name, unsigned seconds) const {
    uint64_t then = now() / kSecond - seconds;
    timeval times[2] = {{static_cast<time_t>(then), 0}, {static_cast<time_t>(then), 0}};
    ASSERT_EQ(utimes(path(name).c_str(), times), 0);
  }
  /// Started now.
  static Author process(int pid, const std::string& run, bool is_first) {
    static std::set<std::string> texts;
    char time[32];
    uint64_t started = now();
    return {.pid = pid,
            .started = *texts.emplace(base::format_time(started, time)).first,
            .began_realtime_ns = started,
            .run = *texts.insert(run).first,
            .is_first = is_first};
  }

  bool has_replaced_recent_ = false;
};

TEST_F(ReportFiles, AreThereWholeOrNotAtAll) {
  auto file = std::make_unique<ReportFile>();
  ASSERT_FALSE(file->open(path("r.json"), {}));
  ASSERT_FALSE(file->write("first "));
  EXPECT_FALSE(names().contains("r.json"));
  ASSERT_EQ(names().size(), 1u);
  EXPECT_EQ(mode(*names().begin()) & 07777, 0600u);
  ASSERT_FALSE(file->write("second"));
  ASSERT_FALSE(file->keep());
  EXPECT_EQ(names(), Names{"r.json"});
  EXPECT_EQ(read("r.json"), "first second");
}

TEST_F(ReportFiles, LeaveNothingWhereTheyAreGivenUp) {
  auto file = std::make_unique<ReportFile>();
  ASSERT_FALSE(file->open(path("r.json"), {}));
  ASSERT_FALSE(file->write("first "));
  file.reset();
  EXPECT_EQ(names(), Names{});
}

TEST_F(ReportFiles, HaveModeFor) {
  umask(0277);
  EXPECT_EQ(put("narrow", "x").problem, "");
  umask(0);
  EXPECT_EQ(put("open", "x").problem, "");
  umask(022);
  EXPECT_EQ(mode("narrow") & 07777, 0400u);
  EXPECT_EQ(mode("open") & 07777, 0600u);
  // What its owner has made of it stays, but for what no report needs.
  write("r.json", json(1, "", ""));
  chmod(path("r.json").c_str(), 0755);
  EXPECT_EQ(put("r.json", json(1, "", "", "again")).problem, "");
  EXPECT_EQ(mode("r.json") & 07777, 0644u);
}

TEST_F(ReportFiles, ReplaceReportsAndEmptyFilesOnly) {
  const std::string refused =
      "a file of this name exists and is not a report (--force, or UNFREED_FORCE=1, replaces it)";
  write("r.json", json(1, "", ""));
  write("empty", "");
  write("page", std::string(kPageStart) + "...");
  for (const char* name : {"r.json", "empty", "page"}) EXPECT_EQ(put(name, "new").problem, "") << name;
  for (const char* name : {"r.json", "empty", "page"}) EXPECT_EQ(read(name), "new");
  write("program",
        "\x7f"
        "ELF program");
  chmod(path("program").c_str(), 0755);
  EXPECT_EQ(put("program", "new").problem, refused);
  EXPECT_TRUE(holds("program", "ELF"));
  Author author = process(7, "", true);
  EXPECT_EQ(put("program", "new", {.author = &author}).problem, refused);
  EXPECT_EQ(mode("program") & 0777, 0755u);
  EXPECT_EQ(put("program", "new", {.replaces_anything = true}).problem, "");
  EXPECT_EQ(read("program"), "new");
  EXPECT_EQ(names(), (Names{"r.json", "empty", "page", "program"}));
  fs::create_directory(folder_ / "folder");
  EXPECT_EQ(put("folder", "new", {.replaces_anything = true}).problem, "Is a directory");
}

TEST_F(ReportFiles, FollowLinksToWhatIsReplaced) {
  fs::create_directory(folder_ / "real");
  fs::create_symlink("real/r.json", folder_ / "link");
  EXPECT_EQ(put("link", json(1, "", "", "first")).problem, "");
  EXPECT_EQ(put("link", json(1, "", "", "second")).problem, "");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_TRUE(holds("real/r.json", "second"));
  EXPECT_EQ(names(), (Names{"link", "real"}));
  // Names put beside it are where it is.
  Author author = process(41, "1-1", false);
  ReportFileOptions options{.author = &author};
  Result result = put("link", "other", options);
  EXPECT_EQ(result.path, path("real/r.41.json"));
  EXPECT_EQ(read("real/r.41.json"), "other");
}

TEST_F(ReportFiles, WriteToWhatIsNoFile) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(put("fifo", "x").problem, "no process reads the FIFO");
  int reader = open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK);
  EXPECT_EQ(put("fifo", "through", {.patience_ms = 50}).problem, "");
  char text[8] = "";
  EXPECT_EQ(::read(reader, text, sizeof text), 7);
  EXPECT_EQ(put("fifo", std::string(1 << 20, 'x'), {.patience_ms = 50}).problem, "no process reads it");
  close(reader);
  EXPECT_TRUE(S_ISFIFO(mode("fifo")));
  EXPECT_EQ(put("/dev/null", "x").problem, "");
  EXPECT_EQ(put("/dev/full", "x").problem, "No space left on device");
  sockaddr_un address{AF_UNIX, {}};
  path("socket").copy(address.sun_path, sizeof address.sun_path - 1);
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(server);
  EXPECT_EQ(put("socket", "x").problem, "it is a socket");
  EXPECT_EQ(names(), (Names{"fifo", "socket"}));
}

TEST_F(ReportFiles, WriteToOpenDescriptorsWhereTheyStand) {
  int out = open(path("out").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::write(out, "before\n", 7), 7);
  std::string name = "/dev/fd/" + std::to_string(out);
  fs::create_symlink(name, folder_ / "link");
  EXPECT_EQ(put(name, "report\n").problem, "");
  EXPECT_EQ(put("link", "again\n").problem, "");
  ASSERT_EQ(::write(out, "after\n", 6), 6) << "it is still open";
  close(out);
  EXPECT_EQ(read("out"), "before\nreport\nagain\nafter\n");
  EXPECT_EQ(put(name, "x").problem, "error 9");
}

TEST_F(ReportFiles, AreNotWrittenWhereThatMayTakeLongIfItHasToBeAtOnce) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  int out = open(path("out").c_str(), O_RDWR | O_CREAT, 0644);
  const ReportFileOptions options{.only_at_once = true};
  for (const std::string& name : {std::string("fifo"), std::string("/dev/full"), "/dev/fd/" + std::to_string(out)})
    EXPECT_EQ(put(name, "x", options).problem, "writing it may take long") << name;
  EXPECT_EQ(read("out"), "");
  EXPECT_EQ(put("report", "x", options).problem, "");
  EXPECT_EQ(read("report"), "x");
  close(out);
}

TEST_F(ReportFiles, LeaveWhatIsNoFileAloneWhereTheProcessHasWrittenToIt) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  int reader = open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK);
  int out = open(path("out").c_str(), O_RDWR | O_CREAT, 0644);
  const ReportFileOptions options{.only_files = true, .patience_ms = 50};
  EXPECT_EQ(put("fifo", "x", options).problem, "");
  EXPECT_EQ(put("/dev/full", "x", options).problem, "");
  EXPECT_EQ(put("/dev/fd/" + std::to_string(out), "x", options).problem, "");
  char text[8];
  EXPECT_EQ(::read(reader, text, sizeof text), 0);
  EXPECT_EQ(read("out"), "");
  EXPECT_EQ(put("report", "x", options).problem, "");
  EXPECT_EQ(read("report"), "x");
  close(reader);
  close(out);
}

TEST_F(ReportFiles, OfOthersGoWhereAStreamGoes) {
  fs::create_symlink("/dev/null", folder_ / "null");
  Author other = process(41, "1-1", false);
  EXPECT_EQ(put("null", "x", {.author = &other}).problem, "");
  EXPECT_EQ(names(), Names{"null"});
}

TEST_F(ReportFiles, StopAtALimit) {
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit low{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &low);
  EXPECT_EQ(put("r.json", std::string(5000, 'x')).problem, "the file size limit (ulimit -f) is too low");
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(names(), Names{});
}

TEST_F(ReportFiles, AreNotPutWhereAnotherUserLies) {
  if (geteuid() != 0) GTEST_SKIP() << "needs another user's files";
  constexpr uid_t kOther = 65534;
  fs::create_directory(folder_ / "shared");
  chmod(path("shared").c_str(), 01777);
  write("shared/r.json", json(1, "", ""));
  ASSERT_EQ(mkfifo(path("shared/fifo").c_str(), 0666), 0);
  int reader = open(path("shared/fifo").c_str(), O_RDONLY | O_NONBLOCK);
  for (const char* name : {"shared/r.json", "shared/fifo"}) {
    ASSERT_EQ(chown(path(name).c_str(), kOther, kOther), 0);
    EXPECT_EQ(put(name, "x", {.replaces_anything = true}).problem,
              "the file of this name belongs to another user, in a world-writable directory");
  }
  close(reader);
  // Where he cannot have put it by himself it is replaced, and is not his any more.
  write("r.json", json(1, "", ""));
  chmod(path("r.json").c_str(), 0666);
  ASSERT_EQ(chown(path("r.json").c_str(), kOther, kOther), 0);
  EXPECT_EQ(put("r.json", "x").problem, "");
  EXPECT_EQ(mode("r.json") & 0777, 0600u);
}

// ---- names ----

TEST_F(ReportFiles, OfARunHaveNamesOfTheirOwn) {
  Author first = process(10, "10-5", true);
  Author child = process(11, "10-5", false);
  EXPECT_EQ(put_of(child, "child"), "r.11.json");
  EXPECT_EQ(put_of(first, "first"), "r.json");
  EXPECT_EQ(put_of(child, "child later"), "r.11.json");
  EXPECT_EQ(put_of(first, "first later"), "r.json");
  EXPECT_TRUE(holds("r.json", "first later"));
  EXPECT_TRUE(holds("r.11.json", "child later"));
  // The number has come round.
  Author another = process(11, "10-5", false);
  EXPECT_EQ(put_of(another, "another"), "r.11.2.json");
  // The first process goes on as another program.
  Author replaced = process(10, "10-5", true);
  EXPECT_EQ(put_of(replaced, "program"), "r.json");
  EXPECT_FALSE(has_replaced_recent_);
  EXPECT_EQ(names(), (Names{"r.json", "r.11.json", "r.11.2.json"}));
}

TEST_F(ReportFiles, OfARunWhoseFirstProcessIsNotTrackedComeAsTheyCome) {
  Author a = process(11, "10-5", true);
  Author b = process(12, "10-5", true);
  EXPECT_EQ(put_of(a, "a"), "r.json");
  EXPECT_EQ(put_of(b, "b"), "r.12.json");
  EXPECT_EQ(put_of(a, "a later"), "r.json");
}

TEST_F(ReportFiles, OfAnEarlierRunAreReplaced) {
  Author yesterday = process(10, "10-5", true);
  EXPECT_EQ(put_of(yesterday, "yesterday"), "r.json");
  make_old("r.json", 86400);
  Author today = process(30, "30-9", true);
  EXPECT_EQ(put_of(today, "today"), "r.json");
  EXPECT_TRUE(holds("r.json", "today"));
  EXPECT_FALSE(has_replaced_recent_);
  usleep(20'000);  // file times are some milliseconds old
  Author at_once = process(31, "31-9", true);
  EXPECT_EQ(put_of(at_once, "at once"), "r.json");
  EXPECT_TRUE(has_replaced_recent_) << "worth a word";
}

TEST_F(ReportFiles, OfRunsAtTheSameTimeAreAllThere) {
  Author a = process(10, "10-5", true);
  Author b = process(20, "20-5", true);
  Author c = process(30, "", true);
  usleep(20'000);
  EXPECT_EQ(put_of(a, "a"), "r.json");
  EXPECT_EQ(put_of(b, "b"), "r.20.json");
  EXPECT_EQ(put_of(c, "c"), "r.30.json");
  // Processes of two containers may have one number.
  Author d = process(20, "20-6", true);
  d.began_realtime_ns = b.began_realtime_ns;
  EXPECT_EQ(put_of(d, "d"), "r.20.2.json");
}

TEST_F(ReportFiles, WithThePidInTheirNamesOnlyNeedANumber) {
  Author a = process(10, "10-5", false);
  EXPECT_EQ(put_of(a, "a", "r.10.json", true), "r.10.json");
  EXPECT_EQ(put_of(process(10, "10-5", false), "b", "r.10.json", true), "r.10.2.json");
  EXPECT_EQ(put_of(process(10, "10-5", false), "c", "r.10.json", true), "r.10.3.json");
}

TEST_F(ReportFiles, KeepExtensionsAndHiddenNames) {
  Author child = process(11, "10-5", false);
  EXPECT_EQ(put_of(child, "", "report"), "report.11");
  EXPECT_EQ(put_of(child, "", ".hidden"), ".hidden.11");
  EXPECT_EQ(put_of(child, "", "a.tar.gz"), "a.tar.11.gz");
  ReportFileOptions options{.author = &child};
  EXPECT_EQ(put(std::string(NAME_MAX, 'n'), "x", options).problem, "File name too long");
  EXPECT_EQ(names(), (Names{"report.11", ".hidden.11", "a.tar.11.gz"}));
}

TEST_F(ReportFiles, DoNotFollowOrReplaceWhatLiesWhereTheyGoBeside) {
  Author child = process(11, "10-5", false);
  fs::create_symlink("elsewhere", folder_ / "r.11.json");
  write("r.11.2.json", "foreign");
  EXPECT_EQ(put_of(child, ""), "r.11.3.json");
  EXPECT_EQ(read("r.11.2.json"), "foreign");
  EXPECT_EQ(names(), (Names{"r.11.json", "r.11.2.json", "r.11.3.json"}));
}

TEST_F(ReportFiles, OfManyAtOnceAreAllThere) {
  for (bool is_first : {true, false}) {
    Author old = process(1, "1-1", true);
    EXPECT_EQ(put_of(old, "old"), "r.json");
    make_old("r.json", 100);
    constexpr int kMany = 40;
    for (int i = 0; i < kMany; ++i) {
      if (fork()) continue;
      put_of(process(getpid(), is_first ? "run" : "other", is_first), "new");
      _exit(testing::Test::HasFailure());
    }
    for (int i = 0, status = 0; i < kMany; ++i) {
      wait(&status);
      EXPECT_EQ(status, 0);
    }
    size_t count = 0;
    for (const std::string& name : names()) count += holds(name, "\"new\"");
    EXPECT_EQ(count, size_t{kMany}) << is_first;
    EXPECT_EQ(names().size(), is_first ? kMany : kMany + 1u);
    for (const std::string& name : names()) fs::remove(folder_ / name);
  }
}

}  // namespace
}  // namespace unfreed::report
