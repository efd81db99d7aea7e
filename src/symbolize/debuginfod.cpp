#include "symbolize/debuginfod.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <vector>

extern char** environ;

namespace unfreed::symbolize {

namespace {

constexpr const char* kClient = "debuginfod-find";
constexpr int kNotStarted = -1, kNotInstalled = -2;
/// After so long a server has not answered at all: one that knows nothing of a file says so at once.
std::chrono::seconds time_limit() {
  constexpr long kSlow = 10;
  const char* given = getenv("DEBUGINFOD_TIMEOUT");
  long seconds = given ? std::strtol(given, nullptr, 10) : 0;
  return std::chrono::seconds(seconds > 0 ? std::min(seconds, kSlow) : kSlow);
}

/// Ours, with the servers, which libdw must not know (libdw.h).
std::vector<std::string> environment_with(const std::string& servers) {
  std::vector<std::string> variables{"DEBUGINFOD_URLS=" + servers};
  for (char** one = environ; *one; ++one)
    if (!std::string_view(*one).starts_with("DEBUGINFOD_URLS=")) variables.emplace_back(*one);
  return variables;
}

std::vector<char*> as_pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// What a command prints on its standard output. Returns its exit status, kNotStarted or kNotInstalled.
int run(std::vector<std::string> words, std::vector<std::string> variables, std::string& printed) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return kNotStarted;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  int error = posix_spawnp(&child, words[0].c_str(), &actions, nullptr, as_pointers(words).data(),
                           as_pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  char part[4096];
  for (ssize_t size = 0; !error && ((size = read(ends[0], part, sizeof part)) > 0 || (size < 0 && errno == EINTR));)
    if (size > 0) printed.append(part, static_cast<size_t>(size));
  close(ends[0]);
  if (error) return error == ENOENT ? kNotInstalled : kNotStarted;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

}  // namespace

std::string debuginfod_servers() {
  const char* servers = getenv("DEBUGINFOD_URLS");
  return servers ? servers : "";
}

std::string Debuginfod::find(const char* what, const std::string& build_id) {
  if (servers_.empty() || build_id.empty() || !problem_.empty()) return {};
  std::string path;
  auto asked = std::chrono::steady_clock::now();
  int status = run({kClient, what, build_id}, environment_with(servers_), path);
  while (path.ends_with('\n')) path.pop_back();
  if (status == 0 && path.starts_with('/') && access(path.c_str(), R_OK) == 0) return path;
  if (status == kNotInstalled)
    problem_ = "debuginfod-find, which asks the servers in DEBUGINFOD_URLS, is not installed";
  else if (std::chrono::steady_clock::now() - asked >= time_limit())
    problem_ = "the servers in DEBUGINFOD_URLS do not answer";
  return {};
}

}  // namespace unfreed::symbolize
