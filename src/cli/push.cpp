// unfreed push: reports to a store of profiles.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "base/scan.h"
#include "cli/command.h"
#include "cli/find_ledger.h"
#include "cli/http_post.h"
#include "cli/report_source.h"
#include "cli/running_report.h"
#include "cli/settings_input.h"
#include "cli/suppression_files.h"
#include "cli/tracked_processes.h"
#include "render/completion.h"
#include "render/paths.h"
#include "render/pprof.h"
#include "render/profile_stores.h"
#include "render/quantities.h"
#include "render/text.h"

namespace unfreed::cli {

namespace {

/// A store's address.
class StoreUrl {
 public:
  /// False: `error` is one line for the user.
  bool read(const std::string& text, std::string& error) {
    size_t scheme = text.find("://");
    bool is_http = text.starts_with("http://") || text.starts_with("https://");
    std::string_view rest = is_http ? std::string_view(text).substr(scheme + 3) : std::string_view();
    bool is_odd = std::any_of(text.begin(), text.end(), [](unsigned char one) { return one <= ' ' || one == 127; });
    std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
    if (authority.empty() || authority.front() == ':' || is_odd || rest.find_first_of("?#") != rest.npos) {
      error =
          fmt::format("cannot read '{}': accepted is the address of a store, http://HOST:PORT or https://HOST", text);
      return false;
    }
    text_ = text;
    while (text_.ends_with('/')) text_.pop_back();
    return true;
  }

  bool is_for(const render::ProfileStore& store) const { return text_.ends_with(store.path); }
  std::string of(const render::ProfileStore& store) const { return is_for(store) ? text_ : text_ + store.path; }

  /// Without a password.
  static std::string shown(const std::string& url) {
    size_t start = url.find("://") + 3;
    size_t end = std::min(url.find('/', start), url.size());
    size_t at = url.rfind('@', end);
    return at == url.npos || at < start ? url : url.substr(0, start) + url.substr(at + 1);
  }

 private:
  std::string text_;
};

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

/// gRPC writes them as in URLs.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    unsigned value = 0;
    bool is_code = text[at] == '%' && at + 2 < text.size() &&
                   std::sscanf(std::string(text.substr(at + 1, 2)).c_str(), "%2x", &value) == 1;
    out += is_code ? static_cast<char>(value) : text[at];
    if (is_code) at += 2;
  }
  return out;
}

/// "" if the store has taken the profile, else what it says.
std::string refusal_of(const HttpAnswer& answer, bool is_grpc) {
  auto first_line = [](std::string_view text) {
    constexpr size_t kMostShown = 200;
    return render::printable(text.substr(0, std::min(text.find_first_of("\r\n"), kMostShown)));
  };
  if (answer.status < 200 || answer.status > 299) {
    std::string said = first_line(answer.body);
    return fmt::format("the store answers {}{}{}", answer.status, said.empty() ? "" : ": ", said);
  }
  if (!is_grpc) return "";
  std::string status = answer.header("grpc-status");
  if (status == "0") return "";
  if (status.empty()) return "what answers there does not speak gRPC, as Parca does";
  return fmt::format("the store answers gRPC status {}: {}", status,
                     first_line(percent_decoded(answer.header("grpc-message"))));
}

class Push {
 public:
  bool read_store(const std::string& url, const std::string& store, std::string& error) {
    if (!url_.read(url, error)) return false;
    if (!store.empty())
      store_ = render::find_profile_store(store);
    else
      for (const render::ProfileStore& one : render::profile_stores())
        if (url_.is_for(one)) store_ = &one;
    return true;
  }

  bool read_labels(const std::vector<std::string>& labels, std::string& error) {
    for (const std::string& label : labels) {
      size_t equals = label.find('=');
      std::string name = label.substr(0, equals);
      bool is_name =
          !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0])) &&
          std::all_of(name.begin(), name.end(), [](unsigned char one) { return std::isalnum(one) || one == '_'; });
      if (equals == label.npos || !is_name || name.starts_with("__")) {
        error = fmt::format("--label: cannot read '{}': accepted is NAME=VALUE, with letters, digits and '_' in NAME",
                            label);
        return false;
      }
      labels_[name] = render::label_text(std::string_view(label).substr(equals + 1));
    }
    return true;
  }

  PostOptions& options() { return options_; }
  void set_name(const std::string& name) { name_ = name; }

  enum class Outcome {
    done,
    refused,      ///< others may not be
    unreachable,  ///< and so it would be for others
  };
  Outcome send(const report::Report& report, const std::string& what, std::string& error) {
    const report::Process& process = report.process;
    std::string program(render::program_of(process));
    render::ProfileName name{render::label_text(name_.empty() ? program : name_), labels_};
    if (name.name.empty()) name.name = "unknown";
    name.labels.try_emplace("hostname", render::label_text(host_name()));
    name.labels.try_emplace("pid", std::to_string(process.pid));
    if (render::moment_of(report) <= 0) {
      error = fmt::format("{}: it does not say when it was made, as profile stores have to know", what);
      return Outcome::refused;
    }
    render::Upload upload = store_->make(report, name);
    std::string url = url_.of(*store_);
    HttpAnswer answer;
    if (!post(url + upload.query, upload, options_, answer, error)) {
      error = fmt::format("{} cannot be sent to {}: {}", what, StoreUrl::shown(url), error);
      return Outcome::unreachable;
    }
    std::string refusal = refusal_of(answer, upload.is_grpc);
    if (refusal.empty()) return Outcome::done;
    error = fmt::format("{} was not taken by {}: {}", what, StoreUrl::shown(url), refusal);
    return Outcome::refused;
  }

 private:
  StoreUrl url_;
  const render::ProfileStore* store_ = &render::profile_stores()[0];
  std::string name_;
  std::map<std::string, std::string> labels_;
  PostOptions options_;
};

/// What is to be sent: a report, or what a running process holds.
class Sources {
 public:
  explicit Sources(const report::Settings& settings) : settings_(settings) {}

  /// Calls `send` with the report on what the user names. False: there is none, `error` is one line for the user.
  template <typename Send>
  bool with(const std::string& target, Send send, std::string& error) {
    uint64_t number = 0;
    struct stat status {};
    bool is_file = !base::parse_number(target, number) &&
                   (target == "-" || stat(target.c_str(), &status) == 0 || target.find('/') != target.npos);
    return is_file ? with_file(target, send, error) : with_process(find_target(target, error), send, error);
  }

  template <typename Send>
  bool with_process(int pid, Send send, std::string& error) {
    if (!pid) return false;
    FoundLedger found = find_ledger(pid);
    if (!found.open.file) {
      error = fmt::format("process {} is not running, or not tracked by unfreed", pid);
      return false;
    }
    symbolize::Symbolizer symbolizer = symbolizer_of(pid);
    RunningReport running;
    Look look = look_at(pid, found, settings_, symbolizer, running, error);
    if (look == Look::passing) error = fmt::format("process {} is just starting or ending", pid);
    if (look != Look::made) return false;
    send(running.owned.report, fmt::format("process {}", pid));
    return true;
  }

  /// Calls `send` with the report on each tracked process, until it returns false, and `fail` for each that has none.
  template <typename Send, typename Fail>
  void with_all(Send send, Fail fail) {
    for (int pid : list_processes()) {
      FoundLedger found = find_ledger(pid);
      if (!found.open.file) continue;
      symbolize::Symbolizer symbolizer = symbolizer_of(pid);
      RunningReport running;
      std::string error;
      Look look = look_at(pid, found, settings_, symbolizer, running, error);
      if (look == Look::failed) fail(fmt::format("process {} is not sent: {}", pid, error));
      if (look == Look::made && !send(running.owned.report, fmt::format("process {}", pid))) break;
    }
  }

 private:
  template <typename Send>
  bool with_file(const std::string& path, Send send, std::string& error) {
    symbolize::Symbolizer symbolizer;
    std::optional<SourcedReport> source = read_report(path, symbolizer, error);
    if (!source) return false;
    if (!source->ledger) render::complete(source->owned.report, symbolizer, source->owned.arena);
    send(source->report(), path);
    return true;
  }

  const report::Settings& settings_;
};

}  // namespace

int push_command(const Arguments& arguments) {
  Parser parser(
      "push", "[OPTIONS] URL [REPORT|PID|NAME]",
      "Sends a report, or what a running process holds now, as a profile to a profile store: Grafana Pyroscope or "
      "Parca. Without REPORT, PID or NAME, every tracked process of this machine is meant, as `unfreed list` "
      "shows them. The program curl sends them, with its proxies (http_proxy …) and passwords (~/.netrc).");
  std::string url, target, store, name, timeout;
  std::vector<std::string> labels, headers;
  Push push;
  SettingsInput input;
  parser.operand("URL", url, "the store's address, such as http://localhost:4040");
  parser.optional_operand("REPORT|PID|NAME", target, "report JSON, series, ledger, - for standard input; or a process");
  std::vector<std::string> names;
  std::string help = "what kind of store it is:";
  for (const render::ProfileStore& one : render::profile_stores()) {
    help += fmt::format("{} {} ({})", names.empty() ? "" : " or", one.name, one.what);
    names.emplace_back(one.name);
  }
  help += fmt::format(" (default: as the path of URL says, else {})", names[0]);
  parser.value("--store", "STORE", store, help.c_str(), names);
  parser.value("--name", "NAME", name, "of the service, in the store (default: the program's)");
  parser.values("--label", "NAME=VALUE", labels, "a label of the profile, besides pid and hostname");
  parser.values("--header", "LINE", headers, "an HTTP header, such as 'X-Scope-OrgID: team', or @FILE with such lines");
  parser.value("--timeout", "SECONDS", timeout, "give up after SECONDS (default: 30)");
  input.add_options(parser, {"suppressions", "quiet"});
  parser.footer(
      "Exit status: 0, also if no process is tracked; 125 if an option or a report cannot be read, the store cannot be "
      "reached, does not answer in time, or does not take a profile.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!input.read()) return kFailure;
  std::string error;
  if (!push.read_store(url, store, error) || !push.read_labels(labels, error) ||
      !read_headers(headers, push.options().headers, error)) {
    complain(error);
    return kFailure;
  }
  push.set_name(name);
  uint64_t seconds = 0;
  constexpr uint64_t kMostSeconds = 3600;
  if (!timeout.empty() && (!base::parse_number(timeout, seconds) || !seconds || seconds > kMostSeconds)) {
    complain(
        fmt::format("--timeout: cannot read '{}': accepted is a whole number from 1 to {}", timeout, kMostSeconds));
    return kFailure;
  }
  if (seconds) push.options().timeout_s = static_cast<uint32_t>(seconds);

  SuppressionFiles suppressions;
  if (target.empty() && !suppressions.read(input.settings().suppressions, NamedBy::user, error)) {
    complain(error);  // once, not for each process
    return kFailure;
  }
  Sources sources(input.settings());
  size_t sent = 0;
  bool failed = false;
  auto fail = [&](const std::string& line) {
    failed = true;
    complain(line);
  };
  auto send = [&](const report::Report& report, const std::string& what) {
    Push::Outcome outcome = push.send(report, what, error);
    if (outcome == Push::Outcome::done)
      ++sent;
    else
      fail(error);
    return outcome != Push::Outcome::unreachable;
  };
  if (target.empty())
    sources.with_all(send, fail);
  else if (!sources.with(target, send, error))
    fail(error);
  if (!input.settings().quiet && (sent || !failed))
    std::puts(sent ? ("sent " + render::write_number_of(sent, "profile")).c_str() : "nothing is being tracked");
  return failed ? kFailure : kSuccess;
}

}  // namespace unfreed::cli
