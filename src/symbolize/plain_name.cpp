#include "symbolize/plain_name.h"

#include "names/function_names.h"

namespace unfreed::symbolize {

namespace {

constexpr size_t kNowhere = std::string_view::npos;

bool is_identifier(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '_' || character == '$' || (character & 0x80);
}

/// Behind the bracket that closes the one at `open`; kNowhere where none does.
size_t behind_bracket(std::string_view name, size_t open) {
  size_t depth = 0;
  for (size_t at = open; at < name.size(); ++at) {
    char character = name[at];
    bool is_arrow = character == '>' && at && name[at - 1] == '-';
    if (character == '<' || character == '(' || character == '[' || character == '{') ++depth;
    if ((character == '>' && !is_arrow) || character == ')' || character == ']' || character == '}')
      if (--depth == 0) return at + 1;
  }
  return kNowhere;
}

class PlainName {
 public:
  explicit PlainName(std::string_view name) : name_(name) {}

  /// False: the brackets do not match.
  bool read() {
    while (at_ < name_.size())
      if (!step()) return false;
    while (out_.ends_with(' ')) out_.pop_back();
    return !out_.empty();
  }
  std::string out_;

 private:
  std::string_view rest() const { return name_.substr(at_); }

  bool skip() {
    size_t end = behind_bracket(name_, at_);
    if (end == kNowhere) return false;
    at_ = end;
    return true;
  }
  bool copy(size_t count = 1) {
    out_ += rest().substr(0, count);
    at_ += count;
    return true;
  }

  bool step() {
    constexpr std::string_view kAnonymous = "(anonymous namespace)";
    if (rest().starts_with("operator") && (out_.empty() || !is_identifier(out_.back())) && read_operator()) return true;
    if (rest().starts_with(kAnonymous)) return copy(kAnonymous.size());
    switch (name_[at_]) {
      case '<': {
        bool is_list = !out_.empty() && (is_identifier(out_.back()) || out_.back() == '}' || out_.ends_with("::"));
        if (!is_list) {
          ++kept_;  // "<Type as Trait>"
          return copy();
        }
        if (out_.ends_with("::")) out_.resize(out_.size() - 2);  // Rust's "f::<T>"
        return skip();
      }
      case '>':
        if (kept_ == 0) return false;
        --kept_;
        return copy();
      case '(':
      case '[':
        if (!skip()) return false;
        return skip_qualifiers();
      case '{':
        return read_braces();
      case ' ':
        // What stands before it was the type returned, but for "<Type as Trait>".
        if (kept_) return copy();
        out_.clear();
        ++at_;
        return true;
      default:
        return copy();
    }
  }

  /// "operator<<", "operator new[]", and "operator" of a conversion, whatever to. False: it is part of another word.
  bool read_operator() {
    constexpr std::string_view kWord = "operator";
    std::string_view behind = rest().substr(kWord.size());
    if (behind.empty() || is_identifier(behind[0])) return false;
    std::string_view symbol = report::operator_symbol(behind);
    for (std::string_view word : {" new[]", " delete[]", " new", " delete", " co_await"})
      if (symbol.empty() && behind.starts_with(word)) symbol = word;
    copy(kWord.size() + symbol.size());
    if (symbol.empty())
      while (at_ < name_.size() && name_[at_] != '(' && (name_[at_] != '<' || skip())) at_ += name_[at_] != '(';
    else if (rest().starts_with(" <"))  // template arguments, which might be taken for part of the symbol
      ++at_;
    if (rest().starts_with('<')) skip();
    return true;
  }

  /// " const", " &" and so on behind parameters.
  bool skip_qualifiers() {
    for (bool more = true; more;) {
      more = false;
      for (std::string_view word : {" const", " volatile", " &&", " &", " noexcept"})
        if (rest().starts_with(word)) {
          at_ += word.size();
          more = true;
        }
    }
    return true;
  }

  /// "{lambda(int)#2}" without its parameters.
  bool read_braces() {
    size_t end = behind_bracket(name_, at_);
    if (end == kNowhere) return false;
    while (at_ < end) {
      if (name_[at_] == '(' || name_[at_] == '<') {
        if (!skip()) return false;
      } else {
        copy();
      }
    }
    return true;
  }

  std::string_view name_;
  size_t at_ = 0;
  size_t kept_ = 0;  ///< brackets that stand in what is written
};

}  // namespace

std::string plain_name(std::string_view name) {
  PlainName plain(name);
  return plain.read() ? plain.out_ : std::string(name);
}

}  // namespace unfreed::symbolize
