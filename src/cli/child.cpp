#include "cli/child.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "settings/exit_statuses.h"

namespace unfreed::cli {

namespace {

/// In the child, on the parent's memory: system calls only.
[[noreturn]] void execute(char* const* words, char* const* environment, char* const* untraced,
                          const SignalRelay& signals, const trace::Tracer* tracer, volatile int& error,
                          volatile int& trace_error) {
  if (tracer) trace_error = tracer->trace_me();
  if (trace_error) environment = untraced;
  signals.restore_inherited();
  execvpe(words[0], words, environment);
  error = errno;
  _exit(127);
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

}  // namespace

Started start(const std::vector<std::string>& words, const std::vector<std::string>& environment,
              const SignalRelay& signals, const trace::Tracer* tracer, const std::vector<std::string>* untraced) {
  std::vector<char*> word_pointers = pointers(words);
  std::vector<char*> environment_pointers = pointers(environment);
  std::vector<char*> untraced_pointers = pointers(untraced ? *untraced : environment);
  // vfork: the child runs on our memory while we wait, so a failed exec tells its errno by writing it down. No handler
  // of ours can run in it: signals are blocked until it has its own dispositions.
  volatile int error = 0, trace_error = 0;
  pid_t pid = vfork();
  if (pid == 0)
    execute(word_pointers.data(), environment_pointers.data(), untraced_pointers.data(), signals, tracer, error,
            trace_error);
  if (pid < 0) return {-1, errno, 0};
  if (error == 0) return {pid, 0, trace_error};
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return {-1, error, 0};
}

std::string find_program(const std::string& command, bool& executable) {
  auto look_at = [&](const std::string& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0 || S_ISDIR(status.st_mode)) return false;
    executable = access(path.c_str(), X_OK) == 0;
    return true;
  };
  executable = false;
  if (command.find('/') != std::string::npos) return look_at(command) ? command : "";
  const char* variable = std::getenv("PATH");
  std::string folders = variable ? variable : "/bin:/usr/bin";
  std::string found;
  for (size_t at = 0; at <= folders.size();) {
    size_t end = std::min(folders.find(':', at), folders.size());
    std::string folder = folders.substr(at, end - at);
    std::string path = (folder.empty() ? "." : folder) + "/" + command;
    if (look_at(path)) {
      if (executable) return path;
      if (found.empty()) found = path;
    }
    at = end + 1;
  }
  return found;
}

std::string program_path(const std::string& command) {
  bool is_executable = false;
  std::error_code none;
  std::string path = find_program(command, is_executable);
  return path.empty() ? command : std::filesystem::absolute(path, none).lexically_normal().string();
}

int explain_start_failure(const std::string& command, int error, std::string& line) {
  bool executable = false;
  std::string file = find_program(command, executable);
  struct stat status {};
  bool is_missing = error == ENOENT || error == ENOTDIR || command.empty();
  if (is_missing && file.empty()) {
    line = fmt::format("{}: not found", command.empty() ? "''" : command);
    return report::exit_status::not_found;
  }
  if (is_missing)
    line = fmt::format("{}: cannot be executed: its interpreter (#! line or dynamic loader) does not exist", command);
  else if (stat(command.c_str(), &status) == 0 && S_ISDIR(status.st_mode))
    line = fmt::format("{}: cannot be executed: it is a directory", command);
  else
    line = fmt::format("{}: cannot be executed: {}", command, std::strerror(error));
  return report::exit_status::not_executable;
}

}  // namespace unfreed::cli
