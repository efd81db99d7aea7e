#include "render/source_root.h"

#include <cstdlib>
#include <filesystem>

namespace unfreed::render {

namespace fs = std::filesystem;

namespace {

bool is_below(std::string_view path, std::string_view folder) {
  if (folder == "/") return true;
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

}  // namespace

SourceRoot::SourceRoot(const std::string& folder) : folder_(fs::path(folder).lexically_normal().string()) {
  while (folder_.size() > 1 && folder_.back() == '/') folder_.pop_back();
}

SourceRoot SourceRoot::here() {
  std::error_code none;
  fs::path directory = fs::current_path(none);
  for (const char* variable : {"GITHUB_WORKSPACE", "CI_PROJECT_DIR"}) {
    const char* folder = std::getenv(variable);
    if (folder && *folder == '/' && is_below(directory.string(), SourceRoot(folder).folder()))
      return SourceRoot(folder);
  }
  for (fs::path folder = directory; folder.has_relative_path(); folder = folder.parent_path())
    if (fs::exists(folder / ".git", none)) return SourceRoot(folder.string());
  return SourceRoot(directory.string());
}

std::string SourceRoot::relative(std::string_view file) const {
  std::string path = fs::path(file).lexically_normal().string();
  if (path.empty()) return {};
  // Compilers can be asked for names relative to the sources (-ffile-prefix-map).
  if (path[0] != '/') return path.starts_with("..") ? std::string() : path;
  if (!is_below(path, folder_) || path.size() <= folder_.size() + 1) return {};
  return path.substr(folder_ == "/" ? 1 : folder_.size() + 1);
}

std::string SourceRoot::name(std::string_view file) const {
  std::string path = relative(file);
  return path.empty() ? fs::path(file).lexically_normal().string() : path;
}

}  // namespace unfreed::render
