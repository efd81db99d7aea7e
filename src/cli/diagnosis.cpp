#include "cli/diagnosis.h"

#include <fmt/format.h>

#include <cstring>
#include <optional>

#include "base/regular_file.h"
#include "cli/child.h"
#include "cli/command_preload.h"
#include "cli/locate.h"
#include "elf/opened.h"
#include "elf/program.h"
#include "render/paths.h"

namespace unfreed::cli {

namespace {

using elf::Obstacle;
using elf::Program;

void examine_loader(const Program& program, Diagnosis& diagnosis) {
  Obstacle obstacle = elf::obstacle_of(program);
  if (obstacle == Obstacle::none) return;
  if (obstacle == Obstacle::musl && has_musl_library()) {
    diagnosis.remarks.emplace_back("its libc is musl: it is tracked by the library for musl");
    diagnosis.limits.emplace_back("streams: a second fclose() of one is not noticed");
    return;
  }
  diagnosis.obstacle = obstacle;
  std::string text(elf::describe(obstacle));
  if (obstacle == Obstacle::other_processor)
    text += fmt::format(" ({}-bit, ELF machine {})", program.is_64_bit ? 64 : 32, program.machine);
  else if (program.interpreter[0])
    text += fmt::format(" ({})", program.interpreter);
  diagnosis.obstacles.push_back(text);
}

void examine_allocator(const Program& program, Diagnosis& diagnosis) {
  if (program.exports_malloc)
    diagnosis.limits.emplace_back(
        "heap: it has a malloc of its own, which cannot be tracked; descriptors and threads are");
  else if (!program.inner_allocator.empty())
    diagnosis.limits.push_back(fmt::format("heap: {} is linked into it under names of its own; its blocks are not seen",
                                           program.inner_allocator));
  if (!program.shared_allocator.empty())
    diagnosis.remarks.push_back(fmt::format(
        "heap: its allocator is {}; only blocks from malloc and operator new are seen", program.shared_allocator));
}

void examine_sanitizers(const Program& program, Diagnosis& diagnosis) {
  if (program.sanitizer == elf::Sanitizer::none) return;
  diagnosis.limits.push_back(
      fmt::format("heap: it is built with {}, whose malloc is found before unfreed's; blocks may not be seen",
                  elf::name_of(program.sanitizer)));
}

void examine_program(const std::string& path, Diagnosis& diagnosis) {
  elf::Opened file(path.c_str());
  if (!file) {
    base::FixedText<64> why;
    base::add_problem(why, file.problem());
    diagnosis.limits.push_back(fmt::format("{} cannot be read ({}), so little is known about it", path, why.text()));
    return;
  }
  elf::Bytes bytes = file.bytes();
  Program program;
  if (const char* fault = elf::read_program(bytes, elf::Depth::whole, program)) {
    // execvp hands what the kernel does not know to the shell, as the shell itself does.
    diagnosis.remarks.push_back(fmt::format("{}: {}; the shell would try to run it as a script", path, fault));
    return;
  }
  if (Obstacle privileges = elf::privilege_of(file.file()); privileges != Obstacle::none)
    diagnosis.obstacles.emplace_back(elf::describe(privileges));
  examine_loader(program, diagnosis);
  examine_allocator(program, diagnosis);
  examine_sanitizers(program, diagnosis);
  if (program.loader != elf::Loader::none && program.is_go) diagnosis.limits.emplace_back(kGoLimit);
  elf::File elf;
  char id[64];
  if (!elf.open(bytes) && !elf.has_debug_info() && elf.build_id(id) == 0)
    diagnosis.remarks.emplace_back("source lines: it has neither debug information nor a build ID to find it by");
}

/// The interpreter of a "#!" script, with its one argument; empty for other files.
std::optional<std::pair<std::string, std::string>> script_interpreter(const std::string& path) {
  elf::Opened file(path.c_str());
  char interpreter[256], argument[256];
  if (!file || !elf::read_script(file.bytes(), interpreter, argument)) return {};
  return std::pair<std::string, std::string>(interpreter, argument);
}

}  // namespace

bool is_traced_by_default(Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::static_program:
    case Obstacle::static_go:
    case Obstacle::musl:
    case Obstacle::foreign_loader:
      return true;
    default:
      return false;
  }
}

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
    if (diagnosis.files.size() == elf::kMostScripts) {
      diagnosis.obstacles.emplace_back("its interpreters are scripts in turn, more than the kernel follows");
      break;
    }
    // "#!/usr/bin/env python3" runs env first, which execs the real interpreter.
    bool is_env = render::base_name(script->first) == "env";
    std::string argument = script->second.substr(0, script->second.find_first_of(" \t"));
    std::string next = is_env && !argument.empty() && argument[0] != '-' ? argument : script->first;
    std::string found = find_program(next, executable);
    diagnosis.remarks.push_back(fmt::format("{} is a script: its interpreter {} is tracked", path, next));
    if (found.empty()) diagnosis.obstacles.push_back(fmt::format("{}: its interpreter {} does not exist", path, next));
    path = found;
  }
  if (!diagnosis.found) diagnosis.obstacles.push_back(fmt::format("{}: not found", command));
  diagnosis.trackable = diagnosis.obstacles.empty();
  bool is_program = diagnosis.trackable && diagnosis.files.size() == 1;
  diagnosis.is_traced = is_traced_by_default(diagnosis.obstacle) || (is_program && is_better_traced(command, {}));
  return diagnosis;
}

}  // namespace unfreed::cli
