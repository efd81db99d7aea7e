#include "render/source_text.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/regular_file.h"

namespace unfreed::render {

namespace {

constexpr uint64_t kMostBytes = uint64_t{16} << 20;

}  // namespace

std::optional<SourceTexts::File> SourceTexts::read(const std::string& path) {
  base::RegularFile opened = base::open_regular_file(path.c_str(), kMostBytes);
  if (opened.fd < 0) return {};
  int descriptor = static_cast<int>(opened.fd);
  File file;
  struct stat status {};
  if (fstat(descriptor, &status) == 0) file.changed_s = static_cast<uint64_t>(status.st_mtime);
  std::string text(opened.bytes, '\0');
  size_t got = 0;
  for (ssize_t now; got < text.size(); got += static_cast<size_t>(now))
    if (now = ::read(descriptor, text.data() + got, text.size() - got); now <= 0) break;
  close(descriptor);
  text.resize(got);
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    file.lines.push_back(text.substr(at, end - at));
    if (!file.lines.back().empty() && file.lines.back().back() == '\r') file.lines.back().pop_back();
    at = end + 1;
  }
  return file;
}

const SourceTexts::File* SourceTexts::find(std::string_view path) {
  auto known = files_.find(path);
  if (known == files_.end()) {
    std::optional<File> file = path.empty() ? std::nullopt : read(std::string(path));
    for (std::string_view end = path; !file && !folder_.empty() && !end.empty();) {
      size_t slash = end.find('/');
      if (slash != 0) file = read(fmt::format("{}/{}", folder_, end));
      end = slash == std::string_view::npos ? "" : end.substr(slash + 1);
    }
    known = files_.emplace(path, std::move(file)).first;
  }
  return known->second ? &*known->second : nullptr;
}

}  // namespace unfreed::render
