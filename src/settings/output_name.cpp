#include "settings/output_name.h"

#include "base/scan.h"

namespace unfreed::report {

void add_absolute_output(base::TextBuilder& out, std::string_view pattern, std::string_view directory) {
  bool is_relative = !pattern.empty() && pattern.front() != '/' && pattern != kStandardOutput;
  if (is_relative && !directory.empty()) {
    for (char character : directory) {
      out.add(character);
      if (character == '%') out.add('%');
    }
    if (directory.back() != '/') out.add('/');
  }
  out.add(pattern);
}

void add_absolute_files(base::TextBuilder& out, std::string_view files, std::string_view directory) {
  bool is_first = true;
  for (bool more = true; more;) {
    std::string_view file = base::next_part(files, ':', more);
    if (file.empty()) continue;
    if (!is_first) out.add(':');
    is_first = false;
    if (file.front() != '/' && !directory.empty()) out.add(directory).add(directory.back() == '/' ? "" : "/");
    out.add(file);
  }
}

namespace {
bool has_part(std::string_view pattern, char letter) {
  for (size_t at = 0; at + 1 < pattern.size(); ++at)
    if (pattern[at] == '%' && pattern[++at] == letter) return true;
  return false;
}

/// A program's name as part of a file name.
void add_name(base::TextBuilder& out, std::string_view name) {
  for (char character : base::base_name(name)) out.add(character);
}
}  // namespace

bool has_pid(std::string_view pattern) { return has_part(pattern, 'p'); }
bool has_number(std::string_view pattern) { return has_part(pattern, 'n'); }

size_t expand_output(std::string_view pattern, std::string_view directory, std::string_view program_name, int pid,
                     uint32_t report_number, std::span<char> out) {
  base::TextBuilder path(out);
  if (pattern.empty()) return 0;
  if (pattern == kStandardOutput) return path.add(pattern).cut() ? 0 : path.size();
  if (pattern.front() != '/') {
    if (directory.empty()) return 0;
    path.add(directory);
    if (directory.back() != '/') path.add('/');
  }
  for (size_t at = 0; at < pattern.size(); ++at) {
    char next = pattern[at] == '%' && at + 1 < pattern.size() ? pattern[at + 1] : '\0';
    if (next == 'p')
      path.add_signed(pid);
    else if (next == 'e')
      add_name(path, program_name);
    else if (next == 'n')
      path.add_number(report_number);
    else if (next == '%')
      path.add('%');
    else {
      path.add(pattern[at]);
      continue;
    }
    ++at;
  }
  return path.cut() ? 0 : path.size();
}

}  // namespace unfreed::report
