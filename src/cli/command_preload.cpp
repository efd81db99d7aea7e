#include "cli/command_preload.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "cli/child.h"
#include "cli/locate.h"
#include "elf/opened.h"
#include "settings/programs.h"

namespace unfreed::cli {

PreloadName::PreloadName(const std::string& runtime) : name_(preload_name(runtime)) {
  if (runtime.find_first_of(": \t\n") == std::string::npos) return;
  char pattern[] = "/tmp/unfreed-XXXXXX";
  if (!mkdtemp(pattern)) return;
  folder_ = pattern;
  link_ = folder_ + "/unfreed";
  std::error_code error;
  std::filesystem::path path(runtime);
  std::filesystem::create_directory_symlink(path.parent_path(), link_, error);
  // Also for processes that become another user's.
  if (!error && chmod(pattern, 0755) == 0) name_ = preload_name(link_ + "/" + path.filename().string());
}

PreloadName::~PreloadName() {
  if (!keep_) remove();
}

void PreloadName::remove() {
  if (folder_.empty()) return;
  unlink(link_.c_str());
  rmdir(folder_.c_str());
}

std::string preload_list(const std::string& name) {
  const char* variable = std::getenv("LD_PRELOAD");
  std::string first, rest;
  elf::any_preload_entry(variable ? variable : "", [&](std::string_view entry) {
    if (entry == name) return false;
    std::string& list = elf::is_sanitizer_library(entry) ? first : rest;
    (list += list.empty() ? "" : ":") += entry;
    return false;
  });
  if (!first.empty()) first += ':';
  if (!rest.empty()) rest.insert(0, ":");
  return first + name + rest;
}

std::string preload_of_command(const std::string& command, const std::string& list, const std::string& name,
                               elf::Verdict& verdict) {
  bool is_executable = false, is_there = false;
  std::string path = find_program(command, is_executable);
  verdict = elf::judge(path.c_str(), AT_FDCWD, is_there);
  elf::accept_musl(name, verdict);
  std::vector<char> text(list.size() + name.size() + 256);
  base::TextBuilder edited(text);
  elf::PreloadNames names{name, name.find('$') == std::string::npos ? std::string_view() : name};
  return elf::edit_preload(list, names, verdict, edited) ? std::string(edited.text()) : list;
}

bool is_better_traced(const std::string& command, const elf::Verdict& verdict) {
  constexpr std::string_view kStartOthers = "go,go[0-9]*,dlv,podman,buildah";
  if (verdict.obstacle != elf::Obstacle::none) return false;
  if (report::is_named(kStartOthers, base::base_name(command))) return false;
  bool is_executable = false;
  elf::Opened file(find_program(command, is_executable).c_str());
  return file && elf::is_go_program(file.bytes());
}

}  // namespace unfreed::cli
