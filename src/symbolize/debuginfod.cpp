#include "symbolize/debuginfod.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "symbolize/run_command.h"

extern char** environ;

namespace unfreed::symbolize {

namespace {

constexpr const char* kClient = "debuginfod-find";
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

}  // namespace

std::string debuginfod_servers() {
  const char* servers = getenv("DEBUGINFOD_URLS");
  return servers ? servers : "";
}

std::string Debuginfod::find(const char* what, const std::string& build_id) {
  if (servers_.empty() || build_id.empty() || !problem_.empty()) return {};
  base::UniqueFd printed(memfd_create("printed", MFD_CLOEXEC));
  if (!printed) return {};
  auto asked = std::chrono::steady_clock::now();
  std::vector<std::string> variables = environment_with(servers_);
  CommandEnd end = run_command({kClient, what, build_id}, {.out = printed.get()}, &variables);
  std::string path(PATH_MAX, '\0');
  ssize_t size = pread(printed.get(), path.data(), path.size(), 0);
  path.resize(size > 0 ? static_cast<size_t>(size) : 0);
  while (path.ends_with('\n')) path.pop_back();
  if (end.has_exited_with(0) && path.starts_with('/') && access(path.c_str(), R_OK) == 0) return path;
  if (end.error == ENOENT)
    problem_ = "debuginfod-find, which asks the servers in DEBUGINFOD_URLS, is not installed";
  else if (std::chrono::steady_clock::now() - asked >= time_limit())
    problem_ = "the servers in DEBUGINFOD_URLS do not answer";
  return {};
}

}  // namespace unfreed::symbolize
