#include "symbolize/debuginfod.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <vector>

extern char** environ;

namespace unfreed::symbolize {

namespace {

constexpr const char* kClient = "debuginfod-find";
constexpr int kNotStarted = -1;

/// Ours, with the servers, which libdw must not know (libdw.h).
std::vector<std::string> environment_with(const std::string& servers) {
  std::vector<std::string> variables{"DEBUGINFOD_URLS=" + servers};
  if (isatty(STDERR_FILENO) && !getenv("DEBUGINFOD_PROGRESS")) variables.emplace_back("DEBUGINFOD_PROGRESS=1");
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

/// What a command prints; its complaints are shown on a terminal only, as they say how far a download is. Returns its
/// exit status, or kNotStarted.
int run(std::vector<std::string> words, std::vector<std::string> variables, std::string& printed) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return kNotStarted;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  if (!isatty(STDERR_FILENO)) posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  int error = posix_spawnp(&child, words[0].c_str(), &actions, nullptr, as_pointers(words).data(),
                           as_pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  char part[4096];
  for (ssize_t size = 0; !error && ((size = read(ends[0], part, sizeof part)) > 0 || (size < 0 && errno == EINTR));)
    if (size > 0) printed.append(part, static_cast<size_t>(size));
  close(ends[0]);
  if (error) return kNotStarted;
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

DebuginfodAnswer ask_debuginfod(const std::string& servers, const char* what, const std::string& build_id) {
  DebuginfodAnswer answer;
  int status = run({kClient, what, build_id}, environment_with(servers), answer.path);
  while (answer.path.ends_with('\n')) answer.path.pop_back();
  if (status != 0 || !answer.path.starts_with('/') || access(answer.path.c_str(), R_OK) != 0) answer.path.clear();
  answer.has_client = status != kNotStarted;
  return answer;
}

}  // namespace unfreed::symbolize
