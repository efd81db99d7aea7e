#include "settings/programs.h"

#include "base/constant_text.h"
#include "base/scan.h"
#include "settings/suppressions.h"

namespace unfreed::report {

namespace {

constexpr base::ConstantText<> kInterpreters =
    base::ConstantText<>(kShells)
        .add(",fish,csh,tcsh,osh,busybox,python*,pypy*,perl,perl5*,ruby,ruby[0-9]*,node,nodejs,php,php[0-9]*")
        .add(",lua,lua5*,luajit,tclsh*,wish*,expect,guile*,awk,gawk,mawk,nawk,Rscript,R,julia,groovy,pwsh,elixir")
        .add(",escript,ocaml,racket");

/// Is what follows the option code, and no file?
bool is_code_option(std::string_view program, std::string_view option) {
  if (option.starts_with("--")) return option == "--eval" || option == "--command";
  if (option.size() < 2 || option.size() > 5) return false;
  char last = option.back();
  if (is_named("perl*,ruby*,node,nodejs,lua*", program))
    return last == 'e' || (last == 'E' && program.starts_with("perl"));
  if (is_named("php*", program)) return option == "-r";
  return last == 'c' && (is_named(kShells, program) || is_named("python*,pypy*,busybox", program));  // "-c", "-ec"
}

bool takes_value(std::string_view option) {
  return option == "-o" || option == "-O" || option == "+o" || option == "+O" || option == "--rcfile" ||
         option == "--init-file";
}

}  // namespace

bool is_named(std::string_view patterns, std::string_view program) {
  std::string_view name = base::base_name(program);
  for (bool more = true; more;) {
    std::string_view pattern = base::trimmed(base::next_part(patterns, ',', more));
    if (!pattern.empty() && (matches_pattern(pattern, name) || matches_pattern(pattern, program))) return true;
  }
  return false;
}

bool is_interpreter(std::string_view program) { return is_named(kInterpreters.text, base::base_name(program)); }

bool ScriptArguments::may_be_script(std::string_view argument) {
  if (is_value_ || has_code_) {
    is_value_ = false;
    return false;
  }
  if (!argument.starts_with('-') && !argument.starts_with('+')) return !argument.empty();
  has_code_ = is_code_option(program_, argument);
  is_value_ = is_named(kShells, program_) && takes_value(argument);
  return false;
}

std::string_view make_absolute(std::string_view directory, std::string_view path, std::span<char> out) {
  bool is_relative = !path.starts_with('/');
  if (path.empty() || (is_relative && directory.empty())) return {};
  base::TextBuilder text(out);
  for (std::string_view rest : {is_relative ? directory : std::string_view(), path}) {
    for (bool more = !rest.empty(); more;) {
      std::string_view part = base::next_part(rest, '/', more);
      if (part.empty() || part == ".") continue;
      if (part != "..") {
        text.add('/').add(part);
        continue;
      }
      size_t slash = text.text().rfind('/');
      text.shorten(slash == std::string_view::npos ? 0 : slash);
    }
  }
  return text.cut() ? std::string_view() : text.text();
}

}  // namespace unfreed::report
