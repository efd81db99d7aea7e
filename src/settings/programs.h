// Which programs are meant: by patterns for their paths, and, for an interpreter, those of what it is given to run.
// Allocation-free, async-signal-safe.
#pragma once

#include <span>
#include <string_view>

#include "base/text.h"

namespace unfreed::report {

/// Does one of the comma-separated shell patterns match the base name of `program`, or all of it?
bool is_named(std::string_view patterns, std::string_view program);

/// Shells, as patterns for base names.
inline constexpr std::string_view kShells = "sh,bash,rbash,dash,ash,ksh,ksh93,mksh,lksh,zsh,zsh-[0-9]*,yash,posh";
/// Does this program run scripts (by its base name: sh, python3.11, perl …)?
bool is_interpreter(std::string_view program);

/// Goes through an interpreter's arguments, one by one, in order; the first is the program's own name.
class ScriptArguments {
 public:
  explicit ScriptArguments(std::string_view program) : program_(base::base_name(program)) {}
  /// May this argument be a script? Not behind code given as such ("sh -c 'make test' x"). Options are none; their
  /// values may be taken for one, but for those of shells.
  bool may_be_script(std::string_view argument);

 private:
  std::string_view program_;
  bool is_value_ = true;
  bool has_code_ = false;
};

/// `path` under `directory`, if relative, without "." and ".." in it. "" where that is not known or has no room.
std::string_view make_absolute(std::string_view directory, std::string_view path, std::span<char> out);

inline constexpr size_t kScriptBytes = 4096;

/// Are rules for this program? `patterns`: UNFREED_RULES_FOR, "" for all. They are, too, for an interpreter with any
/// argument that one matches: it may be its script.
template <class Arguments>
bool rules_are_for(std::string_view patterns, std::string_view program, std::string_view directory,
                   const Arguments& arguments) {
  if (patterns.find_first_not_of(" \t") == std::string_view::npos || is_named(patterns, program)) return true;
  if (!is_interpreter(program)) return false;
  ScriptArguments scripts(program);
  char room[kScriptBytes];
  for (std::string_view argument : arguments) {
    if (!scripts.may_be_script(argument)) continue;
    std::string_view script = make_absolute(directory, argument, room);
    if (!script.empty() && is_named(patterns, script)) return true;
  }
  return false;
}

}  // namespace unfreed::report
