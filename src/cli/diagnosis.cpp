#include "cli/diagnosis.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/regular_file.h"
#include "cli/child.h"
#include "render/paths.h"
#include "symbolize/elf_file.h"

namespace unfreed::cli {

namespace {

using symbolize::ElfFile;

constexpr size_t kMostInterpreters = 5;  ///< the kernel follows four
#if defined(__x86_64__)
constexpr uint16_t kOwnMachine = EM_X86_64;
#else
constexpr uint16_t kOwnMachine = EM_AARCH64;
#endif

/// The interpreter of a "#!" script, with its one argument; empty for other files.
std::optional<std::pair<std::string, std::string>> script_interpreter(const std::string& path) {
  int file = static_cast<int>(base::open_regular_file(path.c_str(), UINT64_MAX).fd);
  if (file < 0) return {};
  char text[256];
  ssize_t got = read(file, text, sizeof text);
  close(file);
  if (got < 3 || text[0] != '#' || text[1] != '!') return {};
  std::string line(text + 2, static_cast<size_t>(got) - 2);
  line.resize(std::min(line.find('\n'), line.size()));
  size_t start = line.find_first_not_of(" \t");
  if (start == std::string::npos) return {};
  size_t end = std::min(line.find_first_of(" \t", start), line.size());
  size_t argument = line.find_first_not_of(" \t", end);
  return std::pair(line.substr(start, end - start), argument == std::string::npos ? "" : line.substr(argument));
}

bool has_library(const ElfFile& program, std::string_view prefix) {
  return std::any_of(program.needed().begin(), program.needed().end(),
                     [&](const std::string& library) { return library.starts_with(prefix); });
}

void examine_privileges(const std::string& path, Diagnosis& diagnosis) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return;
  bool changes_user = (status.st_mode & S_ISUID) && status.st_uid != geteuid();
  bool changes_group = (status.st_mode & S_ISGID) && status.st_gid != getegid();
  bool has_capabilities = getxattr(path.c_str(), "security.capability", nullptr, 0) > 0 && geteuid() != 0;
  if (changes_user || changes_group)
    diagnosis.obstacles.push_back(fmt::format("it is set-{}: the dynamic loader ignores preloaded libraries in it",
                                              changes_user ? "uid" : "gid"));
  if (has_capabilities)
    diagnosis.obstacles.emplace_back("it has file capabilities: the dynamic loader ignores preloaded libraries in it");
}

void examine_loader(const ElfFile& program, Diagnosis& diagnosis) {
  if (!program.is_64_bit() || program.machine() != kOwnMachine) {
    diagnosis.obstacles.push_back(fmt::format("it is built for another kind of processor ({}-bit, ELF machine {})",
                                              program.is_64_bit() ? 64 : 32, program.machine()));
    return;
  }
  if (program.interpreter().empty()) {
    bool is_go = program.has_section(".note.go.buildid") || program.has_section(".go.buildinfo");
    diagnosis.obstacles.push_back(is_go ? "it is a statically linked Go program: no library can be preloaded into it"
                                        : "it is statically linked: no library can be preloaded into it");
    return;
  }
  if (program.interpreter().find("ld-musl") != std::string::npos)
    diagnosis.obstacles.push_back(
        fmt::format("its libc is musl ({}), the runtime is built for glibc", program.interpreter()));
  else if (render::base_name(program.interpreter()).find("ld-linux") == std::string_view::npos)
    diagnosis.limits.push_back(fmt::format("its loader is {}: it may not know LD_PRELOAD", program.interpreter()));
}

void examine_allocator(const ElfFile& program, Diagnosis& diagnosis) {
  if (program.exports("malloc"))
    diagnosis.limits.emplace_back(
        "heap: it brings its own malloc, which cannot be watched; descriptors and threads can");
  for (const char* library : {"libjemalloc", "libtcmalloc", "libmimalloc"})
    if (has_library(program, library))
      diagnosis.remarks.push_back(
          fmt::format("heap: its allocator is {}; blocks taken past malloc and operator new are not seen", library));
}

void examine_sanitizers(const ElfFile& program, Diagnosis& diagnosis) {
  struct Sanitizer {
    const char* name;
    const char* library;
    const char* symbol;
    bool replaces_malloc;
  };
  static constexpr Sanitizer kSanitizers[] = {
      {"AddressSanitizer", "libasan.so", "__asan_init", true},
      {"LeakSanitizer", "liblsan.so", "__lsan_init", true},
      {"ThreadSanitizer", "libtsan.so", "__tsan_init", true},
      {"MemorySanitizer", "libmsan.so", "__msan_init", true},
  };
  for (const Sanitizer& sanitizer : kSanitizers) {
    bool is_shared = has_library(program, sanitizer.library);
    if (!is_shared && !program.defines(sanitizer.symbol)) continue;
    diagnosis.limits.push_back(fmt::format(
        "heap: it is built with {}, whose malloc comes before ours; blocks may not be seen", sanitizer.name));
    if (is_shared && std::string_view(sanitizer.library) == "libasan.so")
      diagnosis.obstacles.emplace_back(
          "gcc's AddressSanitizer must be the first library: preloaded libraries make it refuse to start "
          "(ASAN_OPTIONS=verify_asan_link_order=0 lets it go on)");
  }
}

void examine_program(const std::string& path, Diagnosis& diagnosis) {
  if (access(path.c_str(), R_OK) != 0) {
    diagnosis.limits.push_back(
        fmt::format("{} cannot be read ({}), so little can be said", path, std::strerror(errno)));
    examine_privileges(path, diagnosis);
    return;
  }
  std::string error;
  std::optional<ElfFile> program = ElfFile::read(path, ElfFile::Symbols::read, error);
  if (!program) {
    // execvp hands what the kernel does not know to the shell, as the shell itself does.
    diagnosis.remarks.push_back(fmt::format("{}: {}; the shell would try to run it as a script", path, error));
    return;
  }
  examine_privileges(path, diagnosis);
  examine_loader(*program, diagnosis);
  examine_allocator(*program, diagnosis);
  examine_sanitizers(*program, diagnosis);
  if (!program->interpreter().empty() &&
      (program->has_section(".note.go.buildid") || program->has_section(".go.buildinfo")))
    diagnosis.limits.emplace_back(
        "descriptors: it is a Go program, whose runtime makes system calls by itself: they show up as unattributed");
  if (!program->has_debug_info() && program->build_id().empty())
    diagnosis.remarks.emplace_back("source lines: it has neither debug information nor a build ID to find some by");
}

}  // namespace

Diagnosis diagnose(const std::string& command) {
  Diagnosis diagnosis;
  bool executable = false;
  std::string path = find_program(command, executable);
  diagnosis.found = !path.empty();
  while (!path.empty()) {
    diagnosis.files.push_back(path);
    if (!executable) {
      diagnosis.obstacles.push_back(fmt::format("{} is not executable", path));
      break;
    }
    auto script = script_interpreter(path);
    if (!script) {
      examine_program(path, diagnosis);
      break;
    }
    if (diagnosis.files.size() == kMostInterpreters) {
      diagnosis.obstacles.emplace_back("its interpreters are scripts themselves, too many of them");
      break;
    }
    // "#!/usr/bin/env python3" runs env first, which execs the real interpreter.
    bool is_env = render::base_name(script->first) == "env";
    std::string argument = script->second.substr(0, script->second.find_first_of(" \t"));
    std::string next = is_env && !argument.empty() && argument[0] != '-' ? argument : script->first;
    std::string found = find_program(next, executable);
    diagnosis.remarks.push_back(fmt::format("{} is a script: what is tracked is {}", path, next));
    if (found.empty()) diagnosis.obstacles.push_back(fmt::format("{}: its interpreter {} does not exist", path, next));
    path = found;
  }
  if (!diagnosis.found) diagnosis.obstacles.push_back(fmt::format("{}: not found", command));
  diagnosis.trackable = diagnosis.obstacles.empty();
  return diagnosis;
}

}  // namespace unfreed::cli
