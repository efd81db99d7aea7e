// Names of code that a program has made while it runs: /tmp/perf-PID.map, as `perf` reads it. node (--perf-basic-prof),
// CPython 3.12 and newer (-X perf), the JVM (jcmd PID Compiler.perfmap, or -XX:+DumpPerfMapAtExit) and .NET
// (DOTNET_PerfMapEnabled=1) write it. Each line is
//
//     ADDRESS SIZE NAME      both numbers hexadecimal; the name may contain spaces
//
// Where the code of several lines overlaps, the last line holds: memory has been used again.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "symbolize/dwarf_module.h"

namespace unfreed::symbolize {

/// Which process's map is wanted. Process IDs are used again, and anybody can create files in /tmp.
struct PerfMapOf {
  std::string root;  ///< the process's root directory; "" ours
  int pid = 0;       ///< in its own pid namespace
  /// CLOCK_REALTIME: between its start and when its addresses were seen, the map was last written. 0: not known.
  int64_t started_ns = 0;
  int64_t seen_ns = 0;
  std::optional<uid_t> user;  ///< the process's, beside root's and our own
};

/// Not thread-safe. Lines that are no such lines are passed over.
class PerfMap {
 public:
  PerfMap() = default;
  explicit PerfMap(std::string text);
  PerfMap(const PerfMap&) = delete;  // names lie in text_
  PerfMap& operator=(const PerfMap&) = delete;

  void clear() { parse({}); }
  /// Reads the process's map, if it has changed since the last time. No names where there is none, or it is somebody
  /// else's.
  void read(const PerfMapOf& process);

  /// The function at an address: one frame, or none. Its line is the function's first one, where the name says it.
  std::vector<SourceFrame> resolve(uint64_t address) const;

 private:
  struct Code {
    uint64_t end = 0;
    std::string_view name;  ///< in text_
  };
  void parse(std::string text);
  void add(uint64_t begin, uint64_t end, std::string_view name);

  std::string text_;
  uint64_t inode_ = 0;             ///< of the file; 0: none was read
  off_t size_ = 0;                 ///< of the file
  int64_t written_ns_ = 0;         ///< the file
  std::map<uint64_t, Code> code_;  ///< by address; nothing overlaps
};

/// The parts of a name in a map: function, file and line where this is V8's or CPython's way to write it.
SourceFrame split_perf_name(std::string_view name);

}  // namespace unfreed::symbolize
