// What a program's file says before it runs: whether the runtime can be preloaded into it, and what will not be seen in
// it. Asked by the hooks of exec and spawn, by `unfreed run` of its command, by `unfreed doctor`, and when a report is
// made. Async-signal-safe; thread-compatible.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/regular_file.h"
#include "elf/file.h"
#include "elf/obstacle.h"

namespace unfreed::elf {

enum class Loader : uint8_t { none, glibc, musl, other };

enum class Sanitizer : uint8_t { none, address, leak, thread, memory };
/// "AddressSanitizer" …; "" for none.
std::string_view name_of(Sanitizer sanitizer);

struct Program {
  bool is_64_bit = false;
  uint16_t machine = 0;
  Loader loader = Loader::none;
  bool is_loader = false;  ///< it is that loader itself
  bool is_go = false;
  Sanitizer sanitizer = Sanitizer::none;
  char interpreter[128] = "";       ///< the dynamic loader's path; "" for none
  char sanitizer_library[64] = "";  ///< the shared one that is needed; "": linked in, or none
  // With Depth::whole:
  bool exports_malloc = false;
  std::string_view inner_allocator;   ///< one that is linked in under names of its own: "jemalloc", "mimalloc"; or ""
  std::string_view shared_allocator;  ///< a needed library: "libjemalloc" …; or ""

  /// Would it refuse to start behind a preloaded library?
  bool must_come_first() const;
};

/// "libjemalloc" … where a shared library of this file name brings a malloc; else "".
constexpr std::string_view allocator_library(std::string_view file_name) {
  for (std::string_view known : {"libjemalloc", "libtcmalloc", "libmimalloc"})
    if (file_name.starts_with(known)) return known;
  return {};
}

/// Is this the file name, or the path, of one of their shared libraries?
bool is_sanitizer_library(std::string_view library);

/// `start`: what decides over how a program is started, some twenty system calls at most. `whole`: all; of a large
/// program every byte of constant data is read.
enum class Depth : uint8_t { start, whole };

/// nullptr, or what is wrong (static).
const char* read_program(const Bytes& bytes, Depth depth, Program& out);

/// Is it a Go program, by its build ID? For the little that this reads, it need not be known otherwise.
bool is_go_program(const Bytes& bytes);

/// The kernel follows so many "#!" lines, one leading to the next.
inline constexpr int kMostScripts = 5;
/// The interpreter of a "#!" script and its one argument ("" for none). False for any other file.
bool read_script(const Bytes& bytes, std::span<char> interpreter, std::span<char> argument);

/// What stands against preloading the runtime into a program, by its file. (Obstacle::sanitizer_first is for who starts
/// it to find out.)
Obstacle obstacle_of(const Program& program);
/// Will the dynamic loader take it for a program with privileges that its user has not (secure execution, ld.so(8)),
/// when this process executes it?
Obstacle privilege_of(const base::RegularFile& file);

}  // namespace unfreed::elf
