#include "settings/settings.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <string>
#include <vector>

namespace unfreed::report {
namespace {

struct Read {
  Settings settings;
  std::array<SettingError, kMaxSettingErrors> errors;
  size_t count = 0;
};

/// `environment` must outlive the result.
Read read(const std::vector<std::string>& environment) {
  std::vector<const char*> pointers;
  for (const std::string& entry : environment) pointers.push_back(entry.c_str());
  pointers.push_back(nullptr);
  Read result;
  result.count = read_settings(pointers.data(), result.settings, result.errors);
  return result;
}

std::string description(const SettingError& error) {
  std::array<char, 512> text;
  size_t size = describe(error, text);
  return std::string(text.data(), size);
}

TEST(Settings, DefaultsHoldWithoutVariables) {
  Read result = read({"PATH=/bin", "UNFREED", "UNFREED_SESSION=1-abc", "NOTUNFREED_DEPTH=x"});
  EXPECT_EQ(result.count, 0u);
  EXPECT_EQ(result.settings.output, "unfreed.%e.%p.json");
  EXPECT_EQ(result.settings.exit_code, 23);
  EXPECT_EQ(result.settings.report_signal, SIGUSR2);
  EXPECT_EQ(result.settings.depth, 128u);
  EXPECT_EQ(result.settings.kinds, kDefaultKinds);
}

TEST(Settings, EveryVariableIsRead) {
  std::vector<std::string> environment = {
      "UNFREED_OUTPUT=/tmp/r.json", "UNFREED_TRACK=fd,thread",  "UNFREED_ONLY=my*",
      "UNFREED_FAIL_ON=fd>0",       "UNFREED_EXITCODE=7",       "UNFREED_SIGNAL=USR1",
      "UNFREED_DEPTH=512",          "UNFREED_SUPPRESSIONS=a:b", "UNFREED_QUIET=1",
      "UNFREED_DISABLE=1",          "UNFREED_SAMPLE=512K",      "UNFREED_FORCE=1"};
  Read result = read(environment);
  EXPECT_EQ(result.count, 0u);
  EXPECT_EQ(result.settings.output, "/tmp/r.json");
  EXPECT_EQ(result.settings.kinds, 1u << 0 | 1u << 2);
  EXPECT_EQ(result.settings.only, "my*");
  ASSERT_EQ(result.settings.rules.count, 1u);
  EXPECT_EQ(result.settings.rules.text, "fd>0");
  EXPECT_EQ(result.settings.exit_code, 7);
  EXPECT_EQ(result.settings.report_signal, SIGUSR1);
  EXPECT_EQ(result.settings.depth, 512u);
  EXPECT_TRUE(result.settings.force);
  EXPECT_EQ(result.settings.suppressions, "a:b");
  EXPECT_TRUE(result.settings.quiet);
  EXPECT_TRUE(result.settings.disabled);
  EXPECT_EQ(result.settings.sample_bytes, 512u * 1024);
}

TEST(Settings, SampleIsANumberOfBytes) {
  for (auto [text, bytes] :
       {std::pair{"0", 0u}, {"1", 1u}, {"100", 100u}, {"3K", 3072u}, {"3k", 3072u}, {"2M", 2u << 20}, {"1G", 1u << 30}})
    EXPECT_EQ(read({std::string("UNFREED_SAMPLE=") + text}).settings.sample_bytes, bytes) << text;
  for (const char* text : {"K", "-1", "1.5M", "2G", "99999999999999999999", "20000000000000000G", "512KB"}) {
    std::vector<std::string> environment = {std::string("UNFREED_SAMPLE=") + text};
    Read result = read(environment);
    ASSERT_EQ(result.count, 1u) << text;
    EXPECT_FALSE(result.errors[0].fatal);
    EXPECT_EQ(result.settings.sample_bytes, 0u);
  }
}

TEST(Settings, RangesOfNumbers) {
  Read result = read({"UNFREED_INHERITABLE=3, 10-19,20"});
  ASSERT_EQ(result.count, 0u);
  ASSERT_EQ(result.settings.inheritable.count, 3u);
  EXPECT_EQ(result.settings.inheritable.ranges[0].last, 3);
  EXPECT_EQ(result.settings.inheritable.ranges[1].first, 10);
  EXPECT_EQ(result.settings.inheritable.ranges[1].last, 19);
  for (const char* bad : {"", "x", "-1", "5-4", "1-2-3", "1,", "99999999999"}) {
    std::vector<std::string> environment = {std::string("UNFREED_INHERITABLE=") + bad};
    EXPECT_EQ(read(environment).count, *bad ? 1u : 0u) << bad;
  }
}

TEST(Settings, AnEmptyValueIsAsIfNotSet) {
  Read result = read({"UNFREED_DEPTH=", "UNFREED_EXITCODE=", "UNFREED_TRACK=", "UNFREED_OUTPUT="});
  EXPECT_EQ(result.count, 0u);
  EXPECT_EQ(result.settings.output, kDefaultOutput);
}

TEST(Settings, BadValuesKeepTheDefaultAndAreDescribed) {
  struct Case {
    const char* entry;
    const char* line;
  };
  constexpr auto kTrack =
      list_kinds("UNFREED_TRACK=fd,sockets: invalid; expected ", " and ").add(", separated by commas, or all");
  for (const Case& bad :
       {Case{"UNFREED_DEPTH=ten", "UNFREED_DEPTH=ten: invalid; expected a number from 1 to 512"},
        Case{"UNFREED_DEPTH=0", "UNFREED_DEPTH=0: invalid; expected a number from 1 to 512"},
        Case{"UNFREED_QUIET=maybe", "UNFREED_QUIET=maybe: invalid; expected 0 or 1"},
        Case{"UNFREED_TRACK=fd,sockets", kTrack.text},
        Case{"UNFREED_INHERITABLE=3-",
             "UNFREED_INHERITABLE=3-: invalid; expected descriptor numbers and ranges of them, separated by "
             "commas: 3,10-19"}}) {
    std::vector<std::string> environment = {bad.entry};
    Read result = read(environment);
    ASSERT_EQ(result.count, 1u) << bad.entry;
    EXPECT_FALSE(result.errors[0].fatal) << bad.entry;
    EXPECT_EQ(description(result.errors[0]), bad.line);
    EXPECT_EQ(result.settings.depth, kDefaultDepth);
    EXPECT_EQ(result.settings.kinds, kDefaultKinds);
  }
}

TEST(Settings, BadRulesAndExitCodesAreFatal) {
  std::vector<std::string> environment = {"UNFREED_FAIL_ON=fd>0,sockets>1"};
  Read result = read(environment);
  ASSERT_EQ(result.count, 1u);
  EXPECT_TRUE(result.errors[0].fatal);
  EXPECT_EQ(result.settings.rules.count, 0u);
  EXPECT_EQ(description(result.errors[0]),
            list_kinds("UNFREED_FAIL_ON=fd>0,sockets>1: at 'sockets': unknown kind; expected ", ", ")
                .add(", misuse or inherited_by_child")
                .text);
  for (const char* value : {"0", "256", "-1", "x", "23 "}) {
    std::vector<std::string> codes = {std::string("UNFREED_EXITCODE=") + value};
    Read bad = read(codes);
    ASSERT_EQ(bad.count, 1u) << value;
    EXPECT_TRUE(bad.errors[0].fatal) << value;
    EXPECT_EQ(bad.settings.exit_code, 23) << value;
  }
}

TEST(Settings, ARuleAboutAKindThatIsNotTrackedIsFatal) {
  std::vector<std::string> environment = {"UNFREED_FAIL_ON=fd>0,heap.bytes>1M", "UNFREED_TRACK=fd"};
  Read result = read(environment);
  ASSERT_EQ(result.count, 1u);
  EXPECT_TRUE(result.errors[0].fatal);
  EXPECT_NE(description(result.errors[0]).find("at 'heap.bytes>1M': "), std::string::npos);
}

TEST(Settings, AFatalErrorIsNotLostBehindOthers) {
  std::vector<std::string> environment(kMaxSettingErrors + 3, "UNFREED_DEPTH=x");
  environment.push_back("UNFREED_FAIL_ON=bad");
  Read result = read(environment);
  EXPECT_EQ(result.count, kMaxSettingErrors);
  EXPECT_TRUE(result.errors[kMaxSettingErrors - 1].fatal);
}

TEST(Settings, SignalsHaveNamesAndNumbers) {
  struct Case {
    const char* value;
    int signal;
  };
  for (const Case& good : {Case{"off", 0}, Case{"USR1", SIGUSR1}, Case{"SIGUSR1", SIGUSR1}, Case{"10", SIGUSR1},
                           Case{"RTMIN+3", SIGRTMIN + 3}, Case{"SIGRTMIN+0", SIGRTMIN}, Case{"64", 64}}) {
    std::vector<std::string> environment = {std::string("UNFREED_SIGNAL=") + good.value};
    Read result = read(environment);
    EXPECT_EQ(result.count, 0u) << good.value;
    EXPECT_EQ(result.settings.report_signal, good.signal) << good.value;
  }
  for (const char* value : {"KILL", "9", "19", "SEGV", "11", "0", "32", "65", "RTMIN+31", "RTMIN-1", "usr9", "-1"}) {
    std::vector<std::string> environment = {std::string("UNFREED_SIGNAL=") + value};
    Read result = read(environment);
    EXPECT_EQ(result.count, 1u) << value;
    EXPECT_EQ(result.settings.report_signal, SIGUSR2) << value;
  }
}

TEST(Settings, DescriptionsAreCutAndHarmless) {
  std::string entry = "UNFREED_DEPTH=\x1b[31m\u202e" + std::string(1000, 'x');
  std::vector<std::string> environment = {entry};
  Read result = read(environment);
  ASSERT_EQ(result.count, 1u);
  std::string line = description(result.errors[0]);
  EXPECT_TRUE(line.starts_with("UNFREED_DEPTH=\\x1b[31m\\u202exxx")) << line;
  EXPECT_LT(line.size(), 300u);
  std::array<char, 8> tiny;
  EXPECT_EQ(describe(result.errors[0], tiny), 7u);
}

TEST(Settings, OnlyNamesTheProgramsWanted) {
  Settings settings;
  EXPECT_TRUE(is_wanted(settings, "anything"));
  settings.only = "nginx, python3*";
  EXPECT_TRUE(is_wanted(settings, "nginx"));
  EXPECT_TRUE(is_wanted(settings, "/usr/bin/python3.11"));
  EXPECT_FALSE(is_wanted(settings, "bash"));
  settings.only = ",";
  EXPECT_FALSE(is_wanted(settings, "bash"));
}

std::string expand(std::string_view pattern, std::string_view program = "prog", std::string_view directory = "/srv") {
  std::array<char, 256> path;
  size_t size = expand_output(pattern, directory, program, 42, 3, path);
  return std::string(path.data(), size);
}

TEST(Output, PlaceholdersAreFilledIn) {
  EXPECT_EQ(expand("unfreed.%e.%p.json"), "/srv/unfreed.prog.42.json");
  EXPECT_EQ(expand("/tmp/%n-100%%.json"), "/tmp/3-100%.json");
  EXPECT_EQ(expand("%x%"), "/srv/%x%");
  EXPECT_EQ(expand("%e.json", "/bin/prog"), "/srv/prog.json");
  EXPECT_EQ(expand("-"), "-") << "standard output";
}

TEST(EvaluationSettings, AreKeptAndReadAgain) {
  Settings settings;
  SettingError error{};
  for (auto [variable, value] : {std::pair{"UNFREED_RULES_FOR", "app,/opt/*"},
                                 {"UNFREED_ALLOW_UNTRACKED", "make"},
                                 {"UNFREED_ALLOW_KILLED", "server"},
                                 {"UNFREED_NO_DEFAULT_SUPPRESSIONS", "1"},
                                 {"UNFREED_SUPPRESSIONS", "/a:/b"},
                                 {"UNFREED_DEPTH", "7"},
                                 {"UNFREED_OUTPUT", "/etc/elsewhere"}})
    ASSERT_TRUE(apply_setting(variable, value, settings, error)) << variable;
  std::array<char, 256> storage;
  base::TextBuilder kept(storage);
  add_evaluation_settings(kept, settings);
  Settings again;
  read_evaluation_settings(kept.text(), again);
  EXPECT_EQ(again.rules_for, "app,/opt/*");
  EXPECT_EQ(again.allow_untracked, "make");
  EXPECT_EQ(again.allow_killed, "server");
  EXPECT_TRUE(again.no_default_suppressions);
  EXPECT_EQ(again.suppressions, "/a:/b");
  EXPECT_EQ(again.depth, kDefaultDepth) << "no evaluation asks for it";
  EXPECT_EQ(again.output, kDefaultOutput) << "a ledger does not say which files are written";
}

TEST(EvaluationSettings, OfALedgerMayBeAnything) {
  Settings settings;
  read_evaluation_settings("\x1e\x1eUNFREED_OUTPUT=/x\x1eUNFREED_RULES_FOR\x1e=\x1eUNFREED_NO_DEFAULT_SUPPRESSIONS=5",
                           settings);
  EXPECT_EQ(settings.output, kDefaultOutput);
  EXPECT_EQ(settings.rules_for, "");
  EXPECT_FALSE(settings.no_default_suppressions);
}

TEST(EvaluationSettings, OfTheUserTakePrecedence) {
  Settings settings;
  read_evaluation_settings("UNFREED_RULES_FOR=app\x1eUNFREED_ALLOW_UNTRACKED=make", settings);
  Settings given;
  SettingError error{};
  ASSERT_TRUE(apply_setting("UNFREED_RULES_FOR", "other", given, error));
  prefer_given(given, settings);
  EXPECT_EQ(settings.rules_for, "other");
  EXPECT_EQ(settings.allow_untracked, "make");
}

TEST(Output, KnowsWhatThePidIsIn) {
  EXPECT_TRUE(has_pid("r.%p.json"));
  EXPECT_TRUE(has_pid("%%%p"));
  for (const char* without : {"", "r.json", "r%%p.json", "%", "%e%n"}) EXPECT_FALSE(has_pid(without)) << without;
}

TEST(Output, WhatDoesNotFitOrCannotBeAbsoluteIsRefused) {
  EXPECT_EQ(expand(std::string(300, 'x')), "");
  EXPECT_EQ(expand("r.json", "prog", ""), "");
  EXPECT_EQ(expand(""), "");
  EXPECT_EQ(expand("r.json", "prog", "/"), "/r.json");
}

template <class Function>
std::string absolute(Function add, std::string_view names, std::string_view directory) {
  std::array<char, 256> storage;
  base::TextBuilder text(storage);
  add(text, names, directory);
  return std::string(text.text());
}

TEST(Output, IsPutUnderTheWorkingDirectory) {
  EXPECT_EQ(absolute(add_absolute_output, "r.%p.json", "/a/50%p"), "/a/50%%p/r.%p.json");
  EXPECT_EQ(absolute(add_absolute_output, "/x/%p", "/a"), "/x/%p");
  EXPECT_EQ(absolute(add_absolute_output, "r", "/"), "/r");
  EXPECT_EQ(absolute(add_absolute_output, "r", ""), "r") << "never elsewhere than meant";
  EXPECT_EQ(absolute(add_absolute_output, "-", "/a"), "-");
}

TEST(Files, ArePutUnderTheWorkingDirectory) {
  EXPECT_EQ(absolute(add_absolute_files, "a:/b::c", "/d"), "/d/a:/b:/d/c");
  EXPECT_EQ(absolute(add_absolute_files, "a:b", ""), "a:b");
  EXPECT_EQ(absolute(add_absolute_files, "", "/d"), "");
}

}  // namespace
}  // namespace unfreed::report
