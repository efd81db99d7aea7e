#include "settings/programs.h"

#include "base/scan.h"
#include "base/text.h"
#include "settings/suppressions.h"

namespace unfreed::report {

bool is_named(std::string_view patterns, std::string_view program) {
  std::string_view name = base::base_name(program);
  for (bool more = true; more;) {
    std::string_view pattern = base::trimmed(base::next_part(patterns, ',', more));
    if (!pattern.empty() && (matches_pattern(pattern, name) || matches_pattern(pattern, program))) return true;
  }
  return false;
}

bool is_interpreter(std::string_view program) {
  return is_named(
      "sh,bash,rbash,dash,ash,ksh*,mksh*,zsh*,fish,yash,posh,busybox,csh,tcsh,python*,pypy*,perl*,ruby*,node,nodejs,"
      "php*,"
      "lua*,tclsh*,wish*,expect,guile*,awk,gawk,mawk,nawk,Rscript,R,julia,groovy,jjs,osh,pwsh,elixir,escript,ocaml,"
      "racket",
      base::base_name(program));
}

bool rules_are_for(std::string_view patterns, std::string_view program, std::string_view script) {
  if (base::trimmed(patterns).empty() || is_named(patterns, program)) return true;
  return !script.empty() && is_interpreter(program) && is_named(patterns, script);
}

bool may_go_untracked(std::string_view allow, std::string_view rules_for, std::string_view program) {
  if (is_named(allow, program)) return true;
  return !rules_are_for(rules_for, program, "") && !is_interpreter(program);
}

}  // namespace unfreed::report
