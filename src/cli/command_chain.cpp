#include "cli/command_chain.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <string_view>

#include "render/paths.h"

namespace unfreed::cli {

namespace {

using Words = std::vector<std::string>;

struct Wrapper {
  std::string_view name;
  std::string_view letters;
  std::string_view words;
  size_t operands;
  bool assignments;
  std::string_view clears;
};
constexpr Wrapper kWrappers[] = {
#define WRAPPER(name, letters, words, operands, assignments, clears) \
  {name, letters, words, operands, assignments, clears},
#include "cli/wrappers.inc"
#undef WRAPPER
};

constexpr std::string_view kShells[] = {"sh", "bash", "dash", "ksh", "mksh", "zsh", "ash"};
/// They start a shell as another user, whose name comes first.
constexpr std::string_view kUserShells[] = {"su", "runuser"};
/// They start programs that their own files name.
constexpr std::string_view kStarters[] = {"make",  "gmake", "ninja", "meson", "ctest",  "cmake",
                                          "cargo", "go",    "tox",   "npm",   "docker", "podman"};
constexpr std::string_view kBuiltins[] = {
    "!",        "((",      "[[",    "]]",    "mapfile",  "readarray", ".",      ":",       "[",      "alias",
    "bg",       "break",   "case",  "cd",    "continue", "declare",   "disown", "do",      "done",   "echo",
    "elif",     "else",    "esac",  "eval",  "exit",     "export",    "false",  "fg",      "fi",     "for",
    "function", "getopts", "hash",  "if",    "in",       "jobs",      "kill",   "let",     "local",  "popd",
    "printf",   "pushd",   "pwd",   "read",  "readonly", "return",    "select", "set",     "shift",  "shopt",
    "source",   "test",    "then",  "times", "trap",     "true",      "type",   "typeset", "ulimit", "umask",
    "unalias",  "unset",   "until", "wait",  "while",    "{",         "}"};
/// After these another command follows on the same line.
constexpr std::string_view kKeywords[] = {"!", "do", "elif", "else", "if", "then", "until", "while", "{"};

template <size_t kCount>
bool is_one_of(std::string_view word, const std::string_view (&words)[kCount]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

bool is_in(std::string_view list, std::string_view word) {
  return list.find(" " + std::string(word) + " ") != std::string_view::npos;
}

bool is_assignment(std::string_view word) {
  size_t equals = word.find('=');
  if (equals == 0 || equals == std::string_view::npos || std::isdigit(static_cast<unsigned char>(word[0])))
    return false;
  return std::all_of(word.begin(), word.begin() + static_cast<ptrdiff_t>(equals),
                     [](unsigned char one) { return std::isalnum(one) || one == '_'; });
}

/// setarch's first word, which may be left out.
constexpr std::string_view kArchitectures[] = {"aarch64", "arm",     "i386",    "i486",    "i586",
                                               "i686",    "linux32", "linux64", "uname26", "x86_64"};

/// A word whose value is known only when the shell runs it.
constexpr char kUnknown = '\1';

/// Splits a script into simple commands. What it does not understand it leaves out: this is for advice only.
class Script {
 public:
  explicit Script(std::string_view text) : text_(text) {}

  std::vector<Words> commands() {
    while (at_ < text_.size()) read();
    end_command();
    return std::move(commands_);
  }

 private:
  void read() {
    char one = text_[at_];
    switch (one) {
      case '\'':
        quoted_literally();
        break;
      case '"':
        is_word_ = true;
        is_quoted_ = !is_quoted_;
        ++at_;
        break;
      case '\\':
        is_word_ = true;
        if (at_ + 1 < text_.size() && text_[at_ + 1] != '\n') word_ += text_[at_ + 1];
        at_ += 2;
        break;
      case '$':
      case '`':
        expansion();
        break;
      default:
        if (is_quoted_)
          add(one);
        else
          unquoted(one);
    }
  }

  void unquoted(char one) {
    if (std::string_view(";&|\n()").find(one) != std::string_view::npos) {
      end_command();
      ++at_;
    } else if (one == '<' || one == '>') {
      redirection();
    } else if (std::isspace(static_cast<unsigned char>(one))) {
      end_word();
      ++at_;
    } else if (one == '#' && !is_word_) {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else {
      add(one);
    }
  }

  void add(char one) {
    is_word_ = true;
    word_ += one;
    ++at_;
  }

  void quoted_literally() {
    if (is_quoted_) return add('\'');
    size_t end = std::min(text_.find('\'', at_ + 1), text_.size());
    word_ += text_.substr(at_ + 1, end - at_ - 1);
    is_word_ = true;
    at_ = end + 1;
  }

  void expansion() {
    is_word_ = true;
    word_ += kUnknown;
    char one = text_[at_++];
    if (one == '`') {
      at_ = std::min(text_.find('`', at_), text_.size() - 1) + 1;
      return;
    }
    if (at_ >= text_.size()) return;
    char open = text_[at_];
    if (open != '(' && open != '{') {
      while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) ++at_;
      return;
    }
    char close = open == '(' ? ')' : '}';
    for (int depth = 0; at_ < text_.size(); ++at_) {
      if (text_[at_] == open) ++depth;
      if (text_[at_] == close && --depth == 0) break;
    }
    ++at_;
  }

  /// "2>&1", "<in": the word after it names a file.
  void redirection() {
    if (is_word_ && !std::all_of(word_.begin(), word_.end(), [](unsigned char digit) { return std::isdigit(digit); }))
      end_word();
    word_.clear();
    is_word_ = false;
    while (at_ < text_.size() && std::string_view("<>&|").find(text_[at_]) != std::string_view::npos) ++at_;
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
    is_redirected_ = true;
  }

  void end_word() {
    if (is_word_ && !is_redirected_) words_.push_back(word_);
    if (is_word_) is_redirected_ = false;
    word_.clear();
    is_word_ = false;
  }

  void end_command() {
    end_word();
    is_redirected_ = false;
    while (!words_.empty() && is_one_of(words_[0], kKeywords)) words_.erase(words_.begin());
    if (!words_.empty()) commands_.push_back(std::move(words_));
    words_.clear();
  }

  std::string_view text_;
  size_t at_ = 0;
  bool is_quoted_ = false;
  bool is_word_ = false;
  bool is_redirected_ = false;
  std::string word_;
  Words words_;
  std::vector<Words> commands_;
};

class Follower {
 public:
  CommandChain chain;

  /// `in_script`: the words are a command of a shell, which has assignments and builtins.
  void follow(const Words& words, bool in_script, const std::string& cleared_by, int depth) {
    constexpr int kDeepest = 16;
    size_t at = 0;
    while (in_script && at < words.size() && is_assignment(words[at])) ++at;
    if (at == words.size() || depth == kDeepest) return;
    const std::string& program = words[at];
    if (program.find(kUnknown) != std::string::npos) {
      chain.has_unknown = true;
      return;
    }
    std::string_view name = render::base_name(program);
    bool is_prefix = program == "exec" || program == "command";
    if (in_script && is_one_of(program, kBuiltins)) return;
    if (!in_script || !is_prefix) add(program, in_script, cleared_by);
    const Wrapper* wrapper =
        std::find_if(std::begin(kWrappers), std::end(kWrappers), [&](const Wrapper& one) { return one.name == name; });
    if (wrapper != std::end(kWrappers)) {
      follow_wrapper(*wrapper, words, at + 1, cleared_by, depth);
    } else if (is_one_of(name, kShells) || is_one_of(name, kUserShells)) {
      follow_shell(words, at + 1, is_one_of(name, kUserShells), cleared_by, depth);
    } else if (is_one_of(name, kStarters)) {
      chain.starters.push_back(program);
    }
  }

 private:
  void add(const std::string& name, bool in_script, const std::string& cleared_by) {
    bool is_known = std::any_of(chain.programs.begin(), chain.programs.end(), [&](const ChainedProgram& one) {
      return one.name == name && one.cleared_by.empty() == cleared_by.empty();
    });
    if (!is_known) chain.programs.push_back({name, cleared_by, in_script});
  }

  void follow_wrapper(const Wrapper& wrapper, const Words& words, size_t at, std::string cleared_by, int depth) {
    Words split;
    if (wrapper.clears == "*") cleared_by = wrapper.name;
    for (; at < words.size() && words[at].starts_with('-'); ++at) {
      const std::string& word = words[at];
      if (word == "--") {
        ++at;
        break;
      }
      if (clears(wrapper, word)) cleared_by = std::string(wrapper.name) + " " + word;
      if (word == "-") continue;
      std::string value;
      bool has_value = false;
      if (word.starts_with("--")) {
        size_t equals = word.find('=');
        has_value = equals != std::string::npos || is_in(wrapper.words, word);
        if (equals != std::string::npos)
          value = word.substr(equals + 1);
        else if (has_value && at + 1 < words.size())
          value = words[++at];
      } else if (size_t letter = word.find_first_of(wrapper.letters, 1); letter != std::string::npos) {
        has_value = true;
        value = word.substr(letter + 1);
        if (value.empty() && at + 1 < words.size()) value = words[++at];
      }
      if (wrapper.name == "env" && has_value) read_value_of_env(word, value, cleared_by, split);
    }
    Words rest(words.begin() + static_cast<ptrdiff_t>(at), words.end());
    rest.insert(rest.begin(), split.begin(), split.end());
    auto program = rest.begin();
    while (wrapper.assignments && program != rest.end() && program->find('=') != std::string::npos) ++program;
    program += std::min(static_cast<ptrdiff_t>(wrapper.operands), rest.end() - program);
    rest.erase(rest.begin(), program);
    if (!rest.empty() && is_one_of(rest[0], kArchitectures)) {
      rest.erase(rest.begin());
      while (!rest.empty() && rest[0].starts_with('-')) rest.erase(rest.begin());
    }
    if (rest.size() > 1 && rest[0] == "-c") return follow_script(rest[1], cleared_by, depth);  // flock's
    follow(rest, false, cleared_by, depth + 1);
  }

  /// By itself, abbreviated, or as one of several letters.
  static bool clears(const Wrapper& wrapper, std::string_view option) {
    if (is_in(wrapper.clears, option)) return true;
    if (option.starts_with("--")) return wrapper.clears.find(" " + std::string(option)) != std::string_view::npos;
    for (char letter : option.substr(1)) {
      if (wrapper.letters.find(letter) != std::string_view::npos) return false;
      if (is_in(wrapper.clears, std::string("-") + letter)) return true;
    }
    return false;
  }

  static void read_value_of_env(std::string_view option, const std::string& value, std::string& cleared_by,
                                Words& split) {
    if ((option.starts_with("-u") || option.starts_with("--unset")) && value == "LD_PRELOAD")
      cleared_by = "env -u LD_PRELOAD";
    if (option.starts_with("-S") || option.starts_with("--split-string")) {
      std::vector<Words> commands = Script(value).commands();
      if (!commands.empty()) split = commands[0];
    }
  }

  void follow_shell(const Words& words, size_t at, bool has_user, const std::string& cleared_by, int depth) {
    for (; at < words.size(); ++at) {
      const std::string& word = words[at];
      if (has_user && (word == "-u" || word == "--user") && at + 2 < words.size()) {
        at += words[at + 2] == "--" ? 3 : 2;
        return follow(Words(words.begin() + static_cast<ptrdiff_t>(at), words.end()), false, cleared_by, depth + 1);
      }
      if (word == "--rcfile" || word == "--init-file") {
        ++at;
        continue;
      }
      bool is_cluster = (word.starts_with('-') || word.starts_with('+')) && !word.starts_with("--") && word.size() > 1;
      if (is_cluster && word[0] == '-' && word.find('c') != std::string::npos) {
        while (++at < words.size() && words[at].starts_with('-')) {
        }
        if (at < words.size()) follow_script(words[at], cleared_by, depth);
        return;
      }
      if (word == "--command" && at + 1 < words.size()) return follow_script(words[at + 1], cleared_by, depth);
      if (is_cluster && word.find_first_of("oO") != std::string::npos) ++at;
      if (!word.starts_with('-') && !word.starts_with('+') && !has_user) {
        chain.starters.push_back(word);
        return;
      }
    }
  }

  void follow_script(const std::string& text, std::string cleared_by, int depth) {
    for (const Words& command : Script(text).commands()) {
      std::string cleared = cleared_by;
      size_t at = 0;
      for (; at < command.size() && is_assignment(command[at]); ++at)
        if (command[at].starts_with("LD_PRELOAD=")) cleared = "LD_PRELOAD=";
      // What a command without a program sets or unsets holds for those after it.
      if (at == command.size()) cleared_by = cleared;
      bool is_export = at < command.size() && command[at] == "export";
      bool is_unset = at < command.size() && command[at] == "unset";
      for (size_t one = at + 1; one < command.size() && (is_export || is_unset); ++one) {
        if (is_unset && command[one] == "LD_PRELOAD") cleared_by = "unset LD_PRELOAD";
        if (is_export && command[one].starts_with("LD_PRELOAD=")) cleared_by = "LD_PRELOAD=";
      }
      follow(command, true, cleared, depth + 1);
    }
  }
};

}  // namespace

CommandChain follow_command(const std::vector<std::string>& words) {
  Follower follower;
  follower.follow(words, false, {}, 0);
  return std::move(follower.chain);
}

}  // namespace unfreed::cli
