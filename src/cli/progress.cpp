#include "cli/progress.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "render/function_names.h"
#include "render/paths.h"

namespace unfreed::cli {

namespace {

void write_line(std::string_view text) {
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

bool has_terminal() {
  const char* type = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && type && *type && std::string_view(type) != "dumb";
}

}  // namespace

Progress::Progress(std::string what) : what_(std::move(what)) {
  if (!has_terminal()) return;
  // Signals are for the command's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { show(); });
  } catch (const std::system_error&) {  // no room for a thread: it goes on without
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard guard(lock_);
    has_ended_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

void Progress::show() {
  constexpr size_t kMostColumns = 70;
  std::string what = render::cut_to(render::printable(what_), kMostColumns);
  std::unique_lock guard(lock_);
  unsigned seconds = 0;
  while (!ended_.wait_for(guard, std::chrono::seconds(1), [this] { return has_ended_; }))
    write_line(fmt::format("\r\x1b[Kunfreed: {} … {} s", what, ++seconds));
  if (seconds) write_line("\r\x1b[K");
}

}  // namespace unfreed::cli
