#include "cli/request_grading.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "base/syscall.h"
#include "ledger/layout.h"

namespace unfreed::cli {

namespace {

/// As it is at this moment; a file may be cut short under a mapping.
bool read_header(int file, ledger::Header& header) {
  return pread(file, static_cast<void*>(&header), sizeof header, 0) == static_cast<ssize_t>(sizeof header);
}

/// Has the process a handler for the signal? Else it would end by it.
bool is_caught(int pid, int signal) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("SigCgt:")) return std::strtoull(line.c_str() + 7, nullptr, 16) >> (signal - 1) & 1;
  return false;
}

}  // namespace

bool request_grading(int pid, int file, std::string& error) {
  auto header = std::make_unique<ledger::Header>();
  if (!read_header(file, *header) || header->report_signal < 1 || !is_caught(pid, header->report_signal)) {
    error =
        fmt::format("process {} takes no requests: UNFREED_SIGNAL is off, or the program uses that signal itself", pid);
    return false;
  }
  uint64_t asked_ns = base::monotonic_ns();
  sigval request{};
  request.sival_int = static_cast<int>(ledger::kGradingRequest);
  if (sigqueue(pid, header->report_signal, request) != 0) {
    error = fmt::format("process {} cannot be asked: {}", pid, std::strerror(errno));
    return false;
  }
  using namespace std::chrono_literals;
  constexpr auto kPatience = 15s;
  for (auto until = std::chrono::steady_clock::now() + kPatience; std::chrono::steady_clock::now() < until;) {
    if (!read_header(file, *header)) break;
    auto grading = static_cast<ledger::Grading>(header->grading.load(std::memory_order_acquire));
    if (grading != ledger::Grading::none && header->graded_monotonic_ns >= asked_ns) return true;
    if (kill(pid, 0) != 0 && errno == ESRCH) break;
    std::this_thread::sleep_for(1ms);
  }
  error = fmt::format("process {} did not answer: it has ended, is stopped, or is making another report", pid);
  return false;
}

}  // namespace unfreed::cli
