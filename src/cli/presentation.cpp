#include "cli/presentation.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/scan.h"
#include "base/unique_fd.h"
#include "render/text.h"

namespace unfreed::cli {

namespace {

/// The shell's command for the pager; "" for none. An empty variable, and cat, mean that none is wanted.
std::string pager() {
  const char* command = std::getenv("UNFREED_PAGER");
  if (!command) command = std::getenv("PAGER");
  if (!command) command = "less";
  return std::strcmp(command, "cat") == 0 ? "" : command;
}

[[noreturn]] void become_pager(const std::string& command, int input) {
  dup2(input, STDIN_FILENO);
  // What less and lv need to show colours, and to leave the screen as it is if everything fits.
  setenv("LESS", "FRX", 0);
  setenv("LV", "-c", 0);
  for (int signal : {SIGINT, SIGPIPE, SIGQUIT}) std::signal(signal, SIG_DFL);
  execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
  _exit(127);
}

/// False: the pager could not be started, and has shown nothing.
bool show_through(const std::string& command, std::string_view text) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  base::UniqueFd input(ends[0]), output(ends[1]);
  pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) become_pager(command, ends[0]);
  input.reset();
  // The keys are the pager's; it may also end before it has read everything.
  struct sigaction ignored {
  }, interrupt{}, quit{}, broken{};
  ignored.sa_handler = SIG_IGN;
  sigaction(SIGINT, &ignored, &interrupt);
  sigaction(SIGQUIT, &ignored, &quit);
  sigaction(SIGPIPE, &ignored, &broken);
  while (!text.empty()) {
    ssize_t written = write(output.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;
    text.remove_prefix(static_cast<size_t>(written));
  }
  output.reset();
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  sigaction(SIGINT, &interrupt, nullptr);
  sigaction(SIGQUIT, &quit, nullptr);
  sigaction(SIGPIPE, &broken, nullptr);
  bool was_started = !(WIFEXITED(status) && (WEXITSTATUS(status) == 127 || WEXITSTATUS(status) == 126));
  return was_started;
}

}  // namespace

void Presentation::add_options(Parser& parser) {
  parser.value("-o,--output", "FILE", output_, "write to FILE (default: standard output)");
  parser.flag("--force", options_.replaces_anything, kForceHelp);
  parser.optional_value("--color", "WHEN", colour_, "always",
                        "colours: auto (on a terminal, unless NO_COLOR is set), always or never",
                        {"auto", "always", "never"});
  parser.flag("--no-pager", no_pager_,
              "do not show a long report through a pager (UNFREED_PAGER, PAGER or less) on a terminal");
}

bool Presentation::is_terminal() const { return output_ == "-" && isatty(STDOUT_FILENO) == 1; }

bool Presentation::has_colour() const {
  if (colour_ != "auto") return colour_ == "always";
  return output_ == "-" && render::wants_colour(STDOUT_FILENO);
}

size_t Presentation::columns() const {
  constexpr size_t kFewest = 60, kMost = 250;
  if (!is_terminal()) return render::kMostColumns;
  uint64_t columns = 0;
  winsize size{};
  if (const char* given = std::getenv("COLUMNS")) base::parse_number(given, columns);
  if (!columns && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) columns = size.ws_col;
  return columns ? std::clamp<uint64_t>(columns, kFewest, kMost) : render::kMostColumns;
}

bool Presentation::show(std::string_view text) const {
  std::string command = is_terminal() && !no_pager_ ? pager() : "";
  if (!command.empty() && show_through(command, text)) return true;
  std::string error;
  if (write_report_file(output_, text, options_, error)) return true;
  complain(fmt::format("{} cannot be written: {}", output_ == "-" ? "standard output" : output_, error));
  return false;
}

}  // namespace unfreed::cli
