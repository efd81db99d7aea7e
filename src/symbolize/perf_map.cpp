#include "symbolize/perf_map.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

namespace unfreed::symbolize {

namespace {

constexpr off_t kMostBytes = off_t{64} << 20;
constexpr size_t kMostCode = size_t{1} << 20;
constexpr int64_t kSecond = 1'000'000'000;

int64_t written_ns(const struct stat& status) {
  return int64_t{status.st_mtim.tv_sec} * kSecond + status.st_mtim.tv_nsec;
}

/// Times of files are those of the kernel's last tick; a program writes its map as it goes, and we may see it late.
bool is_of(const PerfMapOf& process, const struct stat& status) {
  bool is_trusted = status.st_uid == 0 || status.st_uid == geteuid() || status.st_uid == process.user;
  if (!S_ISREG(status.st_mode) || !is_trusted || status.st_size > kMostBytes) return false;
  if (written_ns(status) + kSecond < process.started_ns) return false;
  return !process.seen_ns || written_ns(status) < process.seen_ns + kSecond;
}

std::string read_start(int file, off_t bytes) {
  std::string text(static_cast<size_t>(bytes), '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    ssize_t size = read(file, text.data() + filled, text.size() - filled);
    if (size <= 0) break;
    filled += static_cast<size_t>(size);
  }
  text.resize(filled);
  return text;
}

/// Takes a hexadecimal number and the space after it off `line`.
bool take_number(std::string_view& line, uint64_t& out) {
  if (line.starts_with("0x")) line.remove_prefix(2);
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), out, 16);
  auto length = static_cast<size_t>(end - line.data());
  if (error != std::errc{} || length == line.size() || *end != ' ') return false;
  line.remove_prefix(length + 1);
  return true;
}

/// Takes ":123" off the end of `text`.
bool take_last_number(std::string_view& text, uint32_t& out) {
  size_t colon = text.rfind(':');
  if (colon == text.npos || colon + 1 == text.size()) return false;
  auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size()) return false;
  text = text.substr(0, colon);
  return true;
}

void set_function(std::string_view function, std::string_view file, uint32_t line, SourceFrame& frame) {
  frame.function = function;
  frame.file = file;
  frame.line = frame.function_line = line;
  frame.is_function_line = true;
}

/// "JS:*openLog /srv/log.js:3:17": a kind of code, how much it is optimized, the function, where it begins. Code
/// outside of functions has no name.
bool split_v8(std::string_view name, SourceFrame& frame) {
  constexpr std::string_view kScripts[] = {"JS:", "Eval:", "Script:", "Function:", "LazyCompile:"};
  constexpr std::string_view kTiers = "~*^+'";
  for (std::string_view kind : kScripts) {
    if (!name.starts_with(kind)) continue;
    name.remove_prefix(kind.size());
    if (!name.empty() && kTiers.find(name.front()) != kTiers.npos) name.remove_prefix(1);
    uint32_t column = 0, line = 0;
    size_t space = name.find(' ', name.starts_with("get ") || name.starts_with("set ") ? 4 : 0);
    if (space == name.npos || !take_last_number(name, column) || !take_last_number(name, line)) return false;
    std::string_view function = name.substr(0, space);
    set_function(function.empty() ? "(top level)" : function, name.substr(space + 1), line, frame);
    return true;
  }
  return false;
}

/// "py::open_log:/srv/log.py".
bool split_python(std::string_view name, SourceFrame& frame) {
  constexpr std::string_view kStart = "py::";
  if (!name.starts_with(kStart)) return false;
  name.remove_prefix(kStart.size());
  size_t colon = name.find(':');
  if (colon == name.npos) return false;
  set_function(name.substr(0, colon), name.substr(colon + 1), 0, frame);
  return true;
}

}  // namespace

SourceFrame split_perf_name(std::string_view name) {
  SourceFrame frame;
  if (!split_v8(name, frame) && !split_python(name, frame)) frame.function = name;
  frame.plain_name = frame.linkage_name = frame.function;
  return frame;
}

PerfMap::PerfMap(std::string text) { parse(std::move(text)); }

void PerfMap::read(const PerfMapOf& process) {
  std::string path = process.root + "/tmp/perf-" + std::to_string(process.pid) + ".map";
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  struct stat status {};
  bool is_wanted = file >= 0 && fstat(file, &status) == 0 && is_of(process, status);
  bool is_known = status.st_ino == inode_ && status.st_size == size_ && written_ns(status) == written_ns_;
  if (!is_wanted) {
    parse({});
    inode_ = 0;
  } else if (!is_known) {
    inode_ = status.st_ino;
    size_ = status.st_size;
    written_ns_ = written_ns(status);
    parse(read_start(file, size_));
  }
  if (file >= 0) close(file);
}

void PerfMap::parse(std::string text) {
  code_.clear();
  text_ = std::move(text);
  std::string_view rest = text_;
  // What is after the last line's end is being written.
  for (size_t end = rest.find('\n'); end != rest.npos && code_.size() < kMostCode; end = rest.find('\n')) {
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    uint64_t begin = 0, size = 0;
    if (take_number(line, begin) && take_number(line, size) && size && begin + size > begin)
      add(begin, begin + size, line);
  }
}

void PerfMap::add(uint64_t begin, uint64_t end, std::string_view name) {
  auto next = code_.upper_bound(begin);
  if (next != code_.begin()) {
    auto before = std::prev(next);
    if (before->second.end > end) code_.emplace(end, before->second);
    if (before->second.end > begin) before->second.end = begin;
    if (before->second.end == before->first) code_.erase(before);
  }
  while (next != code_.end() && next->first < end) {
    if (next->second.end > end) code_.emplace(end, next->second);
    next = code_.erase(next);
  }
  code_[begin] = {end, name};
}

std::vector<SourceFrame> PerfMap::resolve(uint64_t address) const {
  auto next = code_.upper_bound(address);
  if (next == code_.begin()) return {};
  auto found = std::prev(next);
  if (address >= found->second.end) return {};
  return {split_perf_name(found->second.name)};
}

}  // namespace unfreed::symbolize
