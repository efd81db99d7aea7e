#include "cli/http_post.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <set>

#include "base/scan.h"
#include "base/unique_fd.h"
#include "cli/text_file.h"
#include "render/paths.h"
#include "symbolize/run_command.h"

namespace unfreed::cli {

namespace {

/// A file in memory, which curl opens by path(): it inherits the descriptor.
class MemoryFile {
 public:
  explicit MemoryFile(const char* name) : file_(memfd_create(name, 0)) {}

  bool is_there() const { return static_cast<bool>(file_); }
  int descriptor() const { return file_.get(); }
  std::string path() const { return fmt::format("/dev/fd/{}", file_.get()); }

  bool fill(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t written = write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return lseek(file_.get(), 0, SEEK_SET) == 0;
  }
  std::string start(size_t most) const {
    std::string text(most, '\0');
    ssize_t got = pread(file_.get(), text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }

 private:
  base::UniqueFd file_;
};

/// A line of curl's configuration, which it reads from its standard input: arguments could be seen by everybody.
std::string config_line(std::string_view option, std::string_view value) {
  std::string quoted;
  constexpr std::string_view kSpecial = "\"\\\n\r\t\v", kLetters = "\"\\nrtv";
  for (char character : value) {
    size_t which = kSpecial.find(character);
    if (which != kSpecial.npos) quoted += '\\';
    quoted += which == kSpecial.npos ? character : kLetters[which];
  }
  return fmt::format("{} = \"{}\"\n", option, quoted);
}

/// RFC 9110, "field-name" and "field-value".
bool is_header(std::string_view line) {
  constexpr std::string_view kInNames = "!#$%&'*+-.^_`|~";
  auto is_in_name = [&](unsigned char one) {
    return one < 128 && (std::isalnum(one) || kInNames.find(static_cast<char>(one)) != kInNames.npos);
  };
  auto is_control = [](unsigned char one) { return (one < ' ' && one != '\t') || one == 127; };
  auto end = std::find_if_not(line.begin(), line.end(), is_in_name);
  std::string_view rest = line.substr(static_cast<size_t>(end - line.begin()));
  if (rest.size() == line.size() || std::any_of(rest.begin(), rest.end(), is_control)) return false;
  return rest == ";" || (rest.starts_with(':') && !base::trimmed(rest.substr(1)).empty());
}

/// "curl: (7) Failed to connect to 127.0.0.1 port 1 …" without what is curl's own.
std::string describe_failure(std::string_view line, int status) {
  line = line.substr(0, line.find('\n'));
  if (size_t end = line.find(") "); line.starts_with("curl: (") && end != line.npos) line.remove_prefix(end + 2);
  std::string text = render::printable(base::trimmed(line));
  if (!text.empty()) return text;
  return WIFSIGNALED(status) ? fmt::format("curl was ended by signal {}", WTERMSIG(status))
                             : fmt::format("curl ended with status {}", WEXITSTATUS(status));
}

}  // namespace

std::string HttpAnswer::header(std::string_view name) const {
  std::string value;
  for (size_t start = 0; start < headers.size();) {
    size_t end = std::min(headers.find('\n', start), headers.size());
    std::string_view line = std::string_view(headers).substr(start, end - start);
    start = end + 1;
    size_t colon = line.find(':');
    if (colon != name.size()) continue;
    bool is_same = std::equal(name.begin(), name.end(), line.begin(), [](char wanted, char has) {
      return wanted == std::tolower(static_cast<unsigned char>(has));
    });
    if (is_same) value = base::trimmed(line.substr(colon + 1));
  }
  return value;
}

bool read_headers(const std::vector<std::string>& given, std::vector<std::string>& headers, std::string& error) {
  constexpr uint64_t kMostBytes = 64 * 1024;
  constexpr const char* kAccepted = "accepted are NAME: VALUE and NAME; in one line";
  for (const std::string& one : given) {
    if (!one.starts_with('@')) {
      headers.push_back(one);
      if (is_header(one)) continue;
      error = fmt::format("--header: cannot read '{}': {}, and @FILE", one, kAccepted);
      return false;
    }
    std::string path = one.substr(1), text;
    if (path == "-" || path.empty()) {
      error = fmt::format("--header: cannot read '{}': it names no file", one);
      return false;
    }
    if (!read_input_file(path, kMostBytes, text, error)) {
      error = fmt::format("--header: {} cannot be read: {}", path, error);
      return false;
    }
    size_t number = 0;
    for (size_t start = 0, end = 0; start < text.size(); start = end + 1) {
      end = std::min(text.find('\n', start), text.size());
      std::string line = text.substr(start, end - start);
      if (line.ends_with('\r')) line.pop_back();
      ++number;
      if (line.empty()) continue;
      headers.push_back(line);
      if (is_header(line)) continue;
      error = fmt::format("--header: {}, line {}: {}", path, number, kAccepted);  // without it: it may be a secret
      return false;
    }
  }
  return true;
}

bool post(const std::string& url, const render::Upload& upload, const PostOptions& options, HttpAnswer& answer,
          std::string& error) {
  constexpr size_t kMostShown = 4096;
  constexpr size_t kMostHeaders = 64 * 1024;
  MemoryFile config("config"), status_out("status"), errors("errors"), headers("headers"), body("body"), sent("sent");
  std::vector<MemoryFile> parts;
  bool are_filled = sent.fill(upload.body);
  std::string text = "silent\nshow-error\ngloboff\nnetrc-optional\nproto = \"=http,https\"\nrequest = \"POST\"\n";
  text += config_line("url", url) + config_line("user-agent", "unfreed/" UNFREED_VERSION);
  text += config_line("dump-header", headers.path()) + config_line("output", body.path());
  text += config_line("write-out", "%{http_code}") + config_line("max-time", std::to_string(options.timeout_s));
  for (const std::string& one : upload.headers) text += config_line("header", one);
  for (const std::string& one : options.headers) text += config_line("header", one);
  // Without it, a large body waits a second for servers that do not know what is expected of them.
  text += config_line("header", "Expect:");
  if (upload.is_grpc) text += url.starts_with("https:") ? "http2\n" : "http2-prior-knowledge\n";
  for (const render::FormPart& part : upload.form) {
    are_filled = parts.emplace_back("part").fill(part.bytes) && are_filled;
    text += config_line(
        "form", fmt::format("{}=@{};filename={};type={}", part.name, parts.back().path(), part.file_name, part.type));
  }
  if (upload.form.empty()) text += config_line("data-binary", "@" + sent.path());
  if (!are_filled || !config.fill(text) || !errors.is_there() || !status_out.is_there()) {
    error = fmt::format("no memory for the request: {}", std::strerror(errno));
    return false;
  }
  symbolize::CommandEnd end = symbolize::run_command(
      {"curl", "--disable", "--config", "-"}, {config.descriptor(), status_out.descriptor(), errors.descriptor()});
  if (end.error) {
    error = end.error == ENOENT ? "the program curl, which sends it, is not installed"
                                : fmt::format("the program curl cannot be started: {}", std::strerror(end.error));
    return false;
  }
  if (!end.has_exited_with(0)) {
    error = describe_failure(errors.start(kMostShown), end.status);
    constexpr int kEmptyReply = 52, kHttp2 = 16, kSending = 55, kReceiving = 56;
    if (upload.is_grpc && WIFEXITED(end.status) &&
        std::set{kEmptyReply, kHttp2, kSending, kReceiving}.contains(WEXITSTATUS(end.status)))
      error += " (does it speak HTTP/2, as gRPC does?)";
    return false;
  }
  uint64_t code = 0;
  base::parse_number(status_out.start(16), code);
  answer.status = static_cast<int>(code);
  answer.headers = headers.start(kMostHeaders);
  answer.body = body.start(kMostShown);
  return true;
}

}  // namespace unfreed::cli
