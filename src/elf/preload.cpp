#include "elf/preload.h"

#include <cstring>

#include "base/syscall.h"
#include "elf/opened.h"

namespace unfreed::elf {

namespace {

bool is_runtime(std::string_view entry, const PreloadNames& names) {
  return !names.entry.empty() && (entry == names.entry || base::base_name(entry) == base::base_name(names.entry));
}

Verdict judge_program(const Opened& file, const Bytes& bytes) {
  Verdict verdict;
  Program program;
  if (read_program(bytes, Depth::start, program)) return verdict;
  verdict.obstacle = obstacle_of(program);
  verdict.is_loader = program.is_loader;
  switch (verdict.obstacle) {
    case Obstacle::musl:
      verdict.remedy = Remedy::hide;
      verdict.privilege = privilege_of(file.file());
      return verdict;
    case Obstacle::foreign_loader:
    case Obstacle::other_processor:
      verdict.remedy = Remedy::leave_out;
      return verdict;
    case Obstacle::none:
      break;
    default:
      return verdict;
  }
  verdict.obstacle = privilege_of(file.file());
  if (program.must_come_first()) {
    verdict.remedy = Remedy::sanitizer_first;
    std::memcpy(verdict.sanitizer_library, program.sanitizer_library, sizeof verdict.sanitizer_library);
  }
  return verdict;
}

}  // namespace

Verdict judge(const char* path, long directory, bool& is_there) {
  is_there = false;
  // The kernel opens an interpreter as the script names it, from the working directory.
  char interpreter[256];
  for (int scripts = 0; scripts <= kMostScripts; ++scripts) {
    Opened file(path, directory);
    if (scripts == 0) is_there = file.file().mode != 0;
    if (!file) {
      Verdict verdict;
      if (is_there) verdict.obstacle = privilege_of(file.file());  // "execute only" is common among set-uid programs
      return verdict;
    }
    Bytes bytes = file.bytes();
    if (!read_script(bytes, interpreter, {})) return judge_program(file, bytes);
    path = interpreter;
    directory = AT_FDCWD;
  }
  return {};
}

void accept_musl(std::string_view name, Verdict& verdict) {
  if (verdict.obstacle != Obstacle::musl || name.find("/$LIB/") == name.npos) return;
  constexpr int kMayRead = 4;
  base::FixedText<1100> path;
  path.add(name);
  bool is_there = base::raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>(path.c_str()), kMayRead) == 0;
  if (is_there && !path.cut()) verdict.obstacle = verdict.privilege;
}

std::string_view find_entry(std::string_view preload, std::string_view file) {
  std::string_view found;
  any_preload_entry(preload, [&](std::string_view entry) {
    if (entry == file || base::base_name(entry) == base::base_name(file)) found = entry;
    return !found.empty();
  });
  return found;
}

bool names_runtime(std::string_view preload, const PreloadNames& names) {
  return any_preload_entry(preload, [&](std::string_view entry) { return is_runtime(entry, names); });
}

bool edit_preload(std::string_view preload, const PreloadNames& names, Verdict& verdict, base::TextBuilder& out) {
  if (verdict.remedy == Remedy::keep || !names_runtime(preload, names)) return false;
  if (verdict.remedy == Remedy::sanitizer_first) {
    std::string_view first;
    any_preload_entry(preload, [&](std::string_view entry) {
      first = entry;
      return true;
    });
    std::string_view library = verdict.sanitizer_library;
    if (base::base_name(first) == library) return false;  // the user has seen to it
    if (is_runtime(first, names)) {
      out.add(library).add(kSanitizerMark).add(preload);
      return true;
    }
    // It would refuse to start behind the first one, whatever is done here: as it does without unfreed.
    verdict.obstacle = Obstacle::sanitizer_first;
  }
  // Under a name of that kind it does no harm.
  std::string_view other = verdict.remedy == Remedy::hide ? names.for_any : std::string_view();
  bool is_changed = false;
  any_preload_entry(preload, [&](std::string_view entry) {
    bool is_own = is_runtime(entry, names);
    bool is_hidden = is_own && verdict.remedy == Remedy::hide && entry.find('$') != entry.npos;
    is_changed |= is_own && !is_hidden;
    std::string_view kept = is_own && !is_hidden ? other : entry;
    if (!kept.empty()) out.add(out.size() ? ":" : "").add(kept);
    return false;
  });
  return is_changed;
}

}  // namespace unfreed::elf
