#include "symbolize/run_command.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace unfreed::symbolize {

namespace {

std::vector<char*> as_pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

bool CommandEnd::has_exited_with(int wanted) const {
  return !error && WIFEXITED(status) && WEXITSTATUS(status) == wanted;
}

CommandEnd run_command(std::vector<std::string> words, const CommandStreams& streams,
                       std::vector<std::string>* variables) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  auto give = [&](int file, int number, int flags) {
    if (file >= 0)
      posix_spawn_file_actions_adddup2(&actions, file, number);
    else
      posix_spawn_file_actions_addopen(&actions, number, "/dev/null", flags, 0);
  };
  give(streams.in, STDIN_FILENO, O_RDONLY);
  give(streams.out, STDOUT_FILENO, O_WRONLY);
  give(streams.err, STDERR_FILENO, O_WRONLY);
  CommandEnd end;
  pid_t child = 0;
  end.error = posix_spawnp(&child, words[0].c_str(), &actions, nullptr, as_pointers(words).data(),
                           variables ? as_pointers(*variables).data() : environ);
  posix_spawn_file_actions_destroy(&actions);
  while (!end.error && waitpid(child, &end.status, 0) < 0 && errno == EINTR) {
  }
  return end;
}

}  // namespace unfreed::symbolize
