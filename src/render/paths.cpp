#include "render/paths.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/printable.h"

namespace unfreed::render {

namespace {
constexpr size_t kLongPath = 48;
constexpr int kPartsKept = 3;

std::string as_folder(std::string path) {
  if (path.size() <= 1 || path[0] != '/') return {};  // "/" shortens nothing
  if (path.back() != '/') path += '/';
  return path;
}
}  // namespace

PathShortener::PathShortener(std::string directory, std::string home)
    : directory_(as_folder(std::move(directory))), home_(as_folder(std::move(home))) {}

PathShortener PathShortener::here() {
  std::error_code none;
  const char* home = std::getenv("HOME");
  return PathShortener(std::filesystem::current_path(none).string(), home ? home : "");
}

std::string PathShortener::shorten(std::string_view path) const {
  if (!directory_.empty() && path.starts_with(directory_)) return printable(path.substr(directory_.size()));
  std::string shorter(path);
  if (!home_.empty() && path.starts_with(home_)) shorter = "~/" + shorter.substr(home_.size());
  if (shorter.size() > kLongPath) {
    size_t at = shorter.size();
    for (int part = 0; part < kPartsKept && at != std::string::npos && at != 0; ++part) at = shorter.rfind('/', at - 1);
    if (at != std::string::npos && at > 1) shorter = "…" + shorter.substr(at);
  }
  return printable(shorter);
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string printable(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    base::Shown shown = base::show_first(text);
    clean += shown.as_text(text);
    text.remove_prefix(shown.taken);
  }
  return clean;
}

}  // namespace unfreed::render
