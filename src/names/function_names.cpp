#include "names/function_names.h"

#include <cstring>

#include "base/text.h"

namespace unfreed::report {

namespace {

using base::slice;

constexpr std::string_view kCall = "::operator()";

bool is_identifier(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '_';
}

bool is_default_argument(std::string_view argument) {
  for (std::string_view start :
       {"std::allocator<", "std::char_traits<", "std::less<", "std::hash<", "std::equal_to<", "std::default_delete<"})
    if (argument.starts_with(start)) return true;
  return false;
}

}  // namespace

std::string_view operator_symbol(std::string_view text) {
  for (std::string_view symbol : {"->*", "<<=", ">>=", "<=>", "()", "[]", "->", "<<", ">>", "<=", ">=", "==", "!=",
                                  "&&",  "||",  "++",  "--",  "+=", "-=", "*=", "/=", "%=", "^=", "&=", "|=", "<",
                                  ">",   "=",   "!",   "+",   "-",  "*",  "/",  "%",  "^",  "&",  "|",  "~",  ","})
    if (text.starts_with(symbol)) return symbol;
  return {};
}

namespace {

/// A name being written. What is open at a time:
///
///     std::map<std::string, std::vector<int, std::allocator<int
///             ▲             ▲          ▲     ▲             ▲
///             └ bracket     └ argument └ br. └ argument    └ bracket
///
/// When an argument has ended, it is looked at: the list goes as far as the last one that is no default.
class Speller {
 public:
  Speller(std::string_view name, std::span<char> out) : name_(name), out_(out) {}

  /// False: leave the name as it is.
  bool spell() {
    while (!has_failed_ && at_ < name_.size())
      if (!leave_out()) step();
    return !has_failed_;
  }
  std::string_view text() const { return {out_.data(), size_}; }

 private:
  struct Bracket {
    char opening;
    bool is_of_lambda;       ///< its parameters
    bool is_of_lambda_call;  ///< parameters of a lambda's operator()
    size_t start;            ///< where it stands in what is written
    size_t argument;         ///< where the present argument of a list begins
    size_t end;              ///< where the last argument that is to stay ends; 0: there is none yet
  };
  static constexpr size_t kMostBrackets = 128;

  std::string_view rest() const { return slice(name_, at_); }
  char last() const { return size_ ? out_[size_ - 1] : '\0'; }
  bool ends_with(std::string_view end) const { return text().ends_with(end); }
  Bracket* innermost() { return bracket_count_ ? &brackets_[bracket_count_ - 1] : nullptr; }

  void write(std::string_view piece) {
    if (piece.size() > out_.size() - size_) {
      has_failed_ = true;
      return;
    }
    std::memcpy(out_.data() + size_, piece.data(), piece.size());
    size_ += piece.size();
  }
  void copy(size_t count) {
    write(slice(rest(), 0, count));
    at_ += count;
  }

  /// Inline namespaces and tags that are the library's own business.
  bool leave_out() {
    for (std::string_view piece : {"[abi:cxx11]", "(anonymous namespace)::"})
      if (rest().starts_with(piece)) {
        at_ += piece.size();
        return true;
      }
    for (std::string_view piece : {"__cxx11::", "__1::"})
      if (rest().starts_with(piece) && ends_with("::")) {
        at_ += piece.size();
        return true;
      }
    return false;
  }

  void step() {
    constexpr std::string_view kOperator = "operator";
    if (rest().starts_with(kOperator) && !is_identifier(last())) {
      std::string_view symbol = operator_symbol(slice(rest(), kOperator.size()));
      return copy(kOperator.size() + symbol.size());
    }
    switch (name_[at_]) {
      case '<':
      case '(':
      case '[':
      case '{':
        return open();
      case '>':
        return close_list();
      case ')':
      case ']':
      case '}':
        return close();
      case ',':
        return next_argument();
      default:
        return copy(1);
    }
  }

  void open() {
    if (bracket_count_ == kMostBrackets) {
      has_failed_ = true;
      return;
    }
    char opening = name_[at_];
    Bracket& bracket = brackets_[bracket_count_++];
    bracket = {opening, false, false, size_, size_ + 1, 0};
    if (opening == '(') {
      bracket.is_of_lambda = ends_with("{lambda");
      bracket.is_of_lambda_call = is_after_lambda_call();
    }
    copy(1);
  }

  /// Has "::operator()", or that with template arguments, just been written behind a lambda?
  bool is_after_lambda_call() const {
    std::string_view behind = slice(text(), lambda_end_);
    if (!lambda_end_ || !behind.starts_with(kCall)) return false;
    bool has_arguments = last() == '>' && last_list_ == lambda_end_ + kCall.size();
    return behind == kCall || has_arguments;
  }

  void next_argument() {
    Bracket* list = innermost();
    if (!list || list->opening != '<') return copy(1);
    end_argument(*list);
    write(", ");
    ++at_;
    while (rest().starts_with(' ')) ++at_;
    list->argument = size_;
  }

  void end_argument(Bracket& list) {
    while (size_ > list.argument && last() == ' ') --size_;
    if (!list.end || !is_default_argument(slice(text(), list.argument))) list.end = size_;
  }

  void close_list() {
    Bracket* list = innermost();
    // "->", or a comparison in an expression.
    if (!list || list->opening != '<' || last() == '-') return copy(1);
    end_argument(*list);
    size_ = list->end;
    last_list_ = list->start;
    --bracket_count_;
    copy(1);
    use_alias(last_list_);
  }

  void close() {
    // A '<' that nothing has closed was a comparison.
    while (innermost() && innermost()->opening == '<') --bracket_count_;
    char opening = name_[at_] == ')' ? '(' : name_[at_] == ']' ? '[' : '{';
    if (!innermost() || innermost()->opening != opening) {
      has_failed_ = true;
      return;
    }
    Bracket bracket = brackets_[--bracket_count_];
    copy(1);
    if (bracket.is_of_lambda) size_ = bracket.start;
    if (opening == '{' && slice(text(), bracket.start).starts_with("{lambda")) lambda_end_ = size_;
    if (!bracket.is_of_lambda_call) return;
    size_ = lambda_end_;
    constexpr std::string_view kConst = " const";
    if (rest().starts_with(kConst)) at_ += kConst.size();
  }

  /// std::basic_string<char> is std::string, and so on for all that the library has for characters.
  void use_alias(size_t list) {
    constexpr std::string_view kBasic = "basic_";
    if (slice(text(), list) != "<char>") return;
    size_t start = list;
    while (start && is_identifier(out_[start - 1])) --start;
    std::string_view before = slice(text(), 0, start);
    std::string_view name = slice(text(), start, list - start);
    if (!name.starts_with(kBasic) || !before.ends_with("std::")) return;
    name.remove_prefix(kBasic.size());
    std::memmove(out_.data() + start, name.data(), name.size());
    size_ = start + name.size();
  }

  std::string_view name_;
  std::span<char> out_;
  size_t at_ = 0;
  size_t size_ = 0;
  size_t lambda_end_ = 0;  ///< where the last "{lambda#1}" ends in what is written; 0: there is none
  size_t last_list_ = 0;   ///< where the list that was closed last begins
  size_t bracket_count_ = 0;
  bool has_failed_ = false;
  Bracket brackets_[kMostBrackets];
};

}  // namespace

std::string_view spell_function(std::string_view name, std::span<char> out) {
  if (name.find_first_of("<([{") == name.npos) return name;
  Speller speller(name, out);
  return speller.spell() ? speller.text() : name;
}

FunctionName FunctionNames::of(std::string_view linkage_name) {
  DemangledName name = demangler_.demangle(linkage_name);
  if (name.language == Language::rust) return {name.text, name.text};
  return {spell_function(name.text, spelled_), name.text};
}

}  // namespace unfreed::report
