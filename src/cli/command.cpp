#include "cli/command.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "base/similar.h"
#include "base/syscall.h"
#include "render/paths.h"

namespace unfreed::cli {

void complain(std::string_view message) {
  // One write a line: other processes use the same stderr.
  write_message(fmt::format("unfreed: {}\n", render::printable(message)));
}

void write_message(std::string_view text) {
  // The process that should read may be waiting for this one to end. A reader that runs reads something within
  // milliseconds; the runtime's own lines also wait for a second. The larger limit is for a slow terminal.
  constexpr int kMostWithoutProgress = 1'000, kMostInAll = 10'000;
  static bool has_reader = true;  // after the first message that is not read, later ones do not wait
  const uint64_t start_ns = base::monotonic_ns();
  while (!text.empty()) {
    pollfd output{STDERR_FILENO, POLLOUT, 0};
    int left = kMostInAll - static_cast<int>((base::monotonic_ns() - start_ns) / 1'000'000);
    int ready = poll(&output, 1, has_reader ? std::clamp(left, 0, kMostWithoutProgress) : 0);
    if (ready < 0 && errno == EINTR) continue;
    has_reader = ready > 0;
    if (!has_reader) return;
    // A pipe that has room at all has room for so much.
    ssize_t written = write(STDERR_FILENO, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

namespace {

constexpr size_t kHelpWidth = 100;

/// `text` in lines of at most kHelpWidth; all but the first are indented by `indent`.
std::string wrapped(std::string_view text, size_t indent) {
  std::string out;
  size_t column = indent;
  while (!text.empty()) {
    size_t end = std::min(text.find_first_of(" \n"), text.size());
    if (column > indent && column + end > kHelpWidth) {
      out.back() = '\n';
      out.append(indent, ' ');
      column = indent;
    }
    out += text.substr(0, end);
    column += end + 1;
    bool is_line_end = end < text.size() && text[end] == '\n';
    if (is_line_end) column = indent;
    if (end < text.size()) out += text[end];
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

/// "  -o, --output FILE    what it does", wrapped; positionals in the same form, by their names.
std::string describe(const CLI::Option& option) {
  constexpr size_t kColumn = 26;
  std::string names;
  if (option.get_positional()) {
    names = "  " + option.get_name(true);
  } else {
    for (const std::string& name : option.get_snames()) names += "  -" + name;
    for (const std::string& name : option.get_lnames()) names += (names.empty() ? "      --" : ", --") + name;
    std::string value = option.get_type_name().substr(0, option.get_type_name().find(':'));
    if (option.get_items_expected_max() > 0) names += (value.starts_with('[') ? "" : " ") + value;
  }
  if (names.size() + 1 < kColumn)
    names.append(kColumn - names.size(), ' ');
  else
    names += "\n" + std::string(kColumn, ' ');
  return names + wrapped(option.get_description(), kColumn) + "\n";
}

/// CLI11's help, set out as GNU programs do.
class HelpFormat : public CLI::Formatter {
 public:
  explicit HelpFormat(std::string synopsis) : synopsis_(std::move(synopsis)) {}
  std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const override {
    std::string text = synopsis_ + wrapped(app->get_description(), 0) + "\n\n";
    for (bool positional : {true, false})
      for (const CLI::Option* option : app->get_options())
        if (option->get_positional() == positional) text += describe(*option);
    return text + (app->get_footer().empty() ? "" : "\n" + wrapped(app->get_footer(), 0) + "\n");
  }

 private:
  std::string synopsis_;
};

}  // namespace

struct Parser::App : CLI::App {
  using CLI::App::App;
};

Parser::Parser(const std::string& name, const std::string& usage, std::string description)
    : name_("unfreed " + name), app_(std::make_unique<App>(std::move(description), name_)) {
  app_->formatter(std::make_shared<HelpFormat>("Usage: " + name_ + " " + usage + "\n\n"));
  app_->set_help_flag("-h,--help", "print this help and exit");
}

Parser::~Parser() = default;

void Parser::flag(const char* names, bool& value, const char* help) { app_->add_flag(names, value, help); }

void Parser::value(const char* names, const char* value_name, std::string& value, const char* help,
                   const std::vector<std::string>& choices) {
  CLI::Option* option = app_->add_option(names, value, help)->type_name(value_name);
  std::string words;
  for (const std::string& choice : choices) words += (words.empty() ? "" : " ") + choice;
  documents_[names].completes = words.empty() && std::string_view(value_name) == "FILE" ? "<file>" : words;
  if (choices.empty()) return;
  option->check([choices](const std::string& given) {
    if (std::find(choices.begin(), choices.end(), given) != choices.end()) return std::string();
    base::Nearest nearest(given);
    for (const std::string& choice : choices) nearest.consider(choice);
    std::string meant = nearest.found().empty() ? "" : fmt::format("; did you mean '{}'?", nearest.found());
    return fmt::format("'{}' is none of its values; expected {}{}", given, fmt::join(choices, ", "), meant);
  });
}

void Parser::optional_value(const char* name, const char* value_name, std::string& value, const char* implied,
                            const char* help, const std::vector<std::string>& choices) {
  implied_[name] = implied;
  this->value(name, fmt::format("[={}]", value_name).c_str(), value, help, choices);
}

void Parser::value(const char* names, const char* value_name, uint32_t& value, const char* help) {
  app_->add_option(names, value, help)->type_name(value_name);
}

void Parser::values(const char* names, const char* value_name, std::vector<std::string>& values, const char* help) {
  app_->add_option(names, values, help)->type_name(value_name)->allow_extra_args(false);
}

void Parser::operand(const char* name, std::string& value, const char* help) {
  app_->add_option(name, value, help)->required()->type_name("");
}

void Parser::operand(const char* name, int& value, const char* help) {
  app_->add_option(name, value, help)->required()->type_name("")->check(CLI::PositiveNumber);
}

void Parser::optional_operand(const char* name, std::string& value, const char* help) {
  app_->add_option(name, value, help)->type_name("");
}

void Parser::operands(const char* name, std::vector<std::string>& values, const char* help) {
  app_->add_option(name, values, help)->required()->type_name("");
}

void Parser::document(const char* names, Document document) { documents_[names] = std::move(document); }

void Parser::footer(std::string text) { app_->footer(std::move(text)); }

/// A line for each option: its names, its value's name, what completes it, the variable that does the same, its help
/// and what the manual says more, with tabs between.
int Parser::describe() const {
  std::string text;
  for (const CLI::Option* option : app_->get_options()) {
    if (option->get_positional()) continue;
    std::string names;
    for (const std::string& name : option->get_snames()) names += "-" + name + ",";
    for (const std::string& name : option->get_lnames()) names += "--" + name + ",";
    names.pop_back();
    auto found = documents_.find(names);
    Document document = found == documents_.end() ? Document{} : found->second;
    bool has_value = option->get_items_expected_max() > 0;
    text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", names,
                        has_value ? option->get_type_name().substr(0, option->get_type_name().find(':')) : "",
                        document.completes, document.variable, option->get_description(), document.more);
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kSuccess;
}

std::optional<int> Parser::parse(const Arguments& arguments) {
  if (arguments.size() == 1 && arguments[0] == kDescribe) return describe();
  Arguments words = arguments;
  for (std::string& word : words) {
    if (word == "--") break;
    if (auto found = implied_.find(word); found != implied_.end()) word += "=" + found->second;
  }
  try {
    // CLI11 takes them last first.
    app_->parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::Success&) {
    std::string help = app_->help();
    std::fwrite(help.data(), 1, help.size(), stdout);
    return kSuccess;
  } catch (const CLI::ParseError& error) {
    std::string unknown = describe_unknown_option(arguments);
    complain(fmt::format("{} (try '{} --help')", unknown.empty() ? error.what() : unknown, name_));
    return kFailure;
  }
  return {};
}

/// The first word that looks like an option but is not one; "" if there is none.
std::string Parser::describe_unknown_option(const Arguments& arguments) const {
  for (const std::string& word : arguments) {
    if (word == "--") break;
    bool is_long = word.starts_with("--");
    if (!is_long && (word.size() < 2 || word[0] != '-')) continue;
    std::string name = is_long ? word.substr(0, word.find('=')) : word.substr(0, 2);
    if (app_->get_option_no_throw(name)) continue;
    base::Nearest nearest(std::string_view(name).substr(is_long ? 2 : 1));
    for (const CLI::Option* option : app_->get_options())
      for (const std::string& known : option->get_lnames()) nearest.consider(known);
    std::string meant =
        !is_long || nearest.found().empty() ? "" : fmt::format("; did you mean '--{}'?", nearest.found());
    return fmt::format("unknown option '{}'{}", name, meant);
  }
  return {};
}

size_t Parser::count_options(const Arguments& arguments) {
  for (size_t at = 0; at < arguments.size(); ++at) {
    const std::string& word = arguments[at];
    if (word == "--") return at + 1;
    if (word.size() < 2 || word[0] != '-') return at;
    bool is_long = word[1] == '-';
    bool has_value = is_long ? word.find('=') != std::string::npos : word.size() > 2;
    const CLI::Option* option = app_->get_option_no_throw(is_long ? word.substr(0, word.find('=')) : word.substr(0, 2));
    if (option && !has_value && option->get_items_expected_max() > 0) ++at;
  }
  return arguments.size();
}

}  // namespace unfreed::cli
