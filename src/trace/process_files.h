// What /proc says of another process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace unfreed::trace {

/// Who a process is, as its ledger has it.
struct ProcessIdentity {
  std::string exe;        ///< absolute path
  std::string arguments;  ///< each NUL-terminated
  std::string directory;
  std::string program;  ///< the base name that it was started by
  int parent = 0;
  unsigned user = 0;
  uint64_t start_ticks = 0;
};
/// As /proc has it.
ProcessIdentity identify(int pid);

/// Of a process that started so long after the machine did: as /proc counts it.
uint64_t ticks_of(uint64_t nanoseconds);

/// What a program begins with.
struct ProcessBeginning {
  ProcessIdentity identity;
  std::vector<int> open;      ///< descriptors
  std::vector<int> children;  ///< of one that ran before: those that it has
};
ProcessBeginning beginning_of(int pid);
/// The same, but for its identity, of one that has run for some time.
ProcessBeginning held_by(int pid);

class ProcessFiles {
 public:
  /// `tid`: also of a thread other than the main one.
  explicit ProcessFiles(int tid) : tid_(tid), folder_("/proc/" + std::to_string(tid) + "/") {}

  /// Also of files whose size the kernel does not tell; "" if it cannot be read.
  std::string read(const std::string& name) const;
  std::string link(const std::string& name) const;
  /// The names in a folder that are numbers.
  std::vector<int> numbers(const std::string& name) const;
  /// Of a thread: the processes that it has started and that have not been collected. Some kernels do not tell.
  std::vector<int> children() const;
  int parent() const;
  int process() const;  ///< of a thread: its process
  unsigned user() const;
  int tracer() const;  ///< 0: none
  uint64_t start_ticks() const;
  /// CLOCK_REALTIME, to a second; always the same, so that reports on one process can be compared: not from the clock.
  uint64_t started_realtime_ns() const;
  /// It sleeps in the kernel; it is a zombie, or is not there.
  bool is_waiting() const;
  bool has_ended() const;
  /// The base name in the exec call; "" if it is not known.
  std::string name_as_started() const;
  /// The value of a variable in the environment that the program was started with; "" for none.
  std::string variable(std::string_view name) const;

 private:
  int status_number(std::string_view field) const;

  int tid_;
  std::string folder_;
};

}  // namespace unfreed::trace
