// Names and what they are made of. Each function is a rule of the ABI's grammar, takes its part of the text, and
// returns the node; 0 means that the name is not understood.
#include "report/demangle_tree.h"

namespace unfreed::report {

/// One level of nesting.
class NameParser::Nesting {
 public:
  explicit Nesting(NameParser& parser) : parser_(parser) { ++parser_.nesting_; }
  ~Nesting() { --parser_.nesting_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  bool is_too_deep() const { return parser_.nesting_ > kMostNesting; }

 private:
  NameParser& parser_;
};

namespace {

bool is_digit(char one) { return one >= '0' && one <= '9'; }
bool is_lower(char one) { return one >= 'a' && one <= 'z'; }

struct Operator {
  char code[3];
  std::string_view text;
};
constexpr Operator kOperators[] = {
    {"nw", " new"}, {"na", " new[]"}, {"dl", " delete"}, {"da", " delete[]"}, {"aw", " co_await"}, {"ps", "+"},
    {"ng", "-"},    {"ad", "&"},      {"de", "*"},       {"co", "~"},         {"pl", "+"},         {"mi", "-"},
    {"ml", "*"},    {"dv", "/"},      {"rm", "%"},       {"an", "&"},         {"or", "|"},         {"eo", "^"},
    {"aS", "="},    {"pL", "+="},     {"mI", "-="},      {"mL", "*="},        {"dV", "/="},        {"rM", "%="},
    {"aN", "&="},   {"oR", "|="},     {"eO", "^="},      {"ls", "<<"},        {"rs", ">>"},        {"lS", "<<="},
    {"rS", ">>="},  {"eq", "=="},     {"ne", "!="},      {"lt", "<"},         {"gt", ">"},         {"le", "<="},
    {"ge", ">="},   {"ss", "<=>"},    {"nt", "!"},       {"aa", "&&"},        {"oo", "||"},        {"pp", "++"},
    {"mm", "--"},   {"cm", ","},      {"pm", "->*"},     {"pt", "->"},        {"cl", "()"},        {"ix", "[]"},
    {"qu", "?"},
};

struct Special {
  char code[3];
  std::string_view text;
};
constexpr Special kSpecialTypes[] = {
    {"TV", "vtable for "}, {"TT", "VTT for "}, {"TI", "typeinfo for "}, {"TS", "typeinfo name for "}};
constexpr Special kSpecialNames[] = {
    {"GV", "guard variable for "}, {"TH", "TLS init function for "}, {"TW", "TLS wrapper function for "}};

}  // namespace

uint16_t NameParser::make(NodeKind kind, uint16_t a, uint16_t b, std::string_view text, uint8_t flags) {
  if (node_count_ >= Demangler::kMostNodes) return 0;
  memory_.nodes_[node_count_] = {kind, flags, a, b, 0, text};
  return node_count_++;
}

bool NameParser::append(uint16_t& first, uint16_t& last, uint16_t item) {
  uint16_t cell = item ? make(NodeKind::list, item) : 0;
  if (!cell) return false;
  if (last)
    node(last).b = cell;
  else
    first = cell;
  last = cell;
  return true;
}

bool NameParser::remember(uint16_t substitution) {
  if (!substitution || substitution_count_ >= Demangler::kMostSubstitutions) return false;
  memory_.substitutions_[substitution_count_++] = substitution;
  return true;
}

bool NameParser::number(uint32_t& out) {
  if (!is_digit(peek())) return false;
  for (out = 0; is_digit(peek()); ++at_) {
    if (out > 100'000'000) return false;
    out = out * 10 + static_cast<uint32_t>(*at_ - '0');
  }
  return true;
}

/// "_" is 0, "0_" is 1, and so on.
bool NameParser::sequence_number(uint32_t& out, bool base_36) {
  out = 0;
  if (take('_')) return true;
  uint32_t value = 0;
  while (peek() != '_') {
    char one = peek();
    bool is_letter = base_36 && one >= 'A' && one <= 'Z';
    if ((!is_digit(one) && !is_letter) || value > 1'000'000) return false;
    value = value * (base_36 ? 36 : 10) + static_cast<uint32_t>(is_letter ? one - 'A' + 10 : one - '0');
    ++at_;
  }
  ++at_;
  out = value + 1;
  return true;
}

std::string_view NameParser::digits() {
  const char* start = at_;
  while (is_digit(peek())) ++at_;
  return {start, static_cast<size_t>(at_ - start)};
}

uint16_t NameParser::parse() {
  node(0) = {};
  if (!take("_Z")) return 0;
  uint16_t root = encoding(true);
  return at_ == end_ ? root : 0;
}

uint16_t NameParser::encoding(bool is_outermost) {
  Nesting nesting(*this);
  if (nesting.is_too_deep()) return 0;
  if (peek() == 'T' || peek() == 'G') return special_name();
  NameFacts facts;
  uint16_t named = name(&facts);
  if (!named) return 0;
  if (at_ < end_ && peek() != 'E') {
    bool says_result = facts.ends_with_arguments && !facts.is_conversion_or_structor;
    uint16_t result = says_result ? type() : 0;
    if (says_result && !result) return 0;
    // A function that is only the scope of something is named without its result.
    uint16_t signature = function_type(is_outermost ? result : 0, facts.qualifiers, 'E');
    named = signature ? make(NodeKind::encoding, named, signature) : 0;
    if (named && facts.ends_with_arguments) node(named).c = facts.arguments;
  }
  return named;
}

/// Parameters up to `end`, which stays, or the end of the text.
uint16_t NameParser::function_type(uint16_t result, uint8_t qualifiers, char end) {
  uint16_t parameters = 0;
  if (take('v')) {
    if (at_ < end_ && peek() != end) return 0;
  } else {
    parameters = type_list(end);
    if (!parameters) return 0;
  }
  return make(NodeKind::function, result, parameters, {}, qualifiers);
}

bool NameParser::skip_call_offset() {
  auto skip_number = [this] {
    take('n');
    return !digits().empty() && take('_');
  };
  if (take('h')) return skip_number();
  return take('v') && skip_number() && skip_number();
}

uint16_t NameParser::special_name() {
  for (const Special& one : kSpecialTypes)
    if (take(one.code)) {
      uint16_t about = type();
      return about ? make(NodeKind::special, about, 0, one.text) : 0;
    }
  for (const Special& one : kSpecialNames)
    if (take(one.code)) {
      uint16_t about = name(nullptr);
      return about ? make(NodeKind::special, about, 0, one.text) : 0;
    }
  if (take("TC")) {
    uint16_t part = type();
    if (!part || digits().empty() || !take('_')) return 0;
    uint16_t whole = type();
    return whole ? make(NodeKind::special, whole, part, "construction vtable for ") : 0;
  }
  std::string_view text;
  if (take("GR")) {
    uint16_t about = name(nullptr);
    uint32_t which;
    if (!about || !sequence_number(which, true)) return 0;
    uint16_t numbered = make(NodeKind::special, about, 0, " for ", 1);
    if (numbered) node(numbered).c = static_cast<uint16_t>(which);
    return numbered;
  }
  if (take("Tc")) {
    if (!skip_call_offset() || !skip_call_offset()) return 0;
    text = "covariant return thunk to ";
  } else if (peek() == 'T' && peek(1) == 'h') {
    text = "non-virtual thunk to ";
  } else if (peek() == 'T' && peek(1) == 'v') {
    text = "virtual thunk to ";
  } else if (take("GT")) {
    if (!take('t')) return 0;
    text = "transaction clone for ";
  } else {
    return 0;
  }
  if (text.find("virtual") != text.npos) {
    ++at_;
    if (!skip_call_offset()) return 0;
  }
  uint16_t about = encoding(true);
  return about ? make(NodeKind::special, about, 0, text) : 0;
}

uint16_t NameParser::name(NameFacts* facts) {
  if (peek() == 'N') return nested_name(facts);
  if (peek() == 'Z') return local_name(facts);
  uint16_t named = 0;
  if (peek() == 'S' && peek(1) != 't') {
    named = substitution(false);
    if (!named || peek() != 'I') return 0;
  } else {
    bool is_standard = take("St");
    named = unqualified_name(0, facts);
    if (named && is_standard) {
      uint16_t scope = make_text("std");
      named = scope ? make(NodeKind::nested, scope, named) : 0;
    }
    if (!named || peek() != 'I') return named;
    if (!remember(named)) return 0;
  }
  return templated(named, facts);
}

uint16_t NameParser::nested_name(NameFacts* facts) {
  ++at_;
  uint8_t qualifiers = 0;
  if (take('r')) qualifiers |= kRestrict;
  if (take('V')) qualifiers |= kVolatile;
  if (take('K')) qualifiers |= kConst;
  if (peek() == 'R' || peek() == 'O') qualifiers |= *at_++ == 'R' ? kLvalue : kRvalue;
  uint16_t before = 0;
  uint16_t remembered = substitution_count_;
  while (!take('E')) {
    remembered = substitution_count_;
    before = nested_part(before, facts);
    if (!before) return 0;
    take('M');  // in a data member's initialiser
  }
  // The whole is remembered by whoever takes it for a type.
  if (!before || substitution_count_ == remembered) return 0;
  --substitution_count_;
  if (facts) facts->qualifiers = qualifiers;
  return before;
}

/// The next part of a nested name, put behind what stands before it.
uint16_t NameParser::nested_part(uint16_t before, NameFacts* facts) {
  uint16_t result = 0;
  if (peek() == 'I') {
    result = before ? templated(before, facts) : 0;
  } else if (!before && take("St")) {
    return make_text("std");
  } else if (!before && peek() == 'S') {
    return substitution(true);
  } else if (!before && peek() == 'T') {
    result = template_parameter();
  } else if (!before && peek() == 'D' && (peek(1) == 't' || peek(1) == 'T')) {
    result = d_type();
  } else {
    if (facts) *facts = {};
    uint16_t part = unqualified_name(before, facts);
    result = part && before ? make(NodeKind::nested, before, part) : part;
  }
  return result && remember(result) ? result : 0;
}

uint16_t NameParser::local_name(NameFacts* facts) {
  ++at_;
  uint16_t function = encoding(false);
  if (!function || !take('E')) return 0;
  uint16_t entity = 0;
  if (take('s')) {
    entity = make_text("string literal");
  } else if (peek() == 'd') {
    return 0;  // in a default argument: rare, and never on a stack by itself
  } else {
    entity = name(facts);
  }
  if (!entity) return 0;
  if (take("__")) {
    if (digits().empty() || !take('_')) return 0;
  } else if (peek() == '_' && is_digit(peek(1))) {
    at_ += 2;
  }
  return make(NodeKind::local, function, entity);
}

uint16_t NameParser::unqualified_name(uint16_t scope, NameFacts* facts) {
  uint16_t named = 0;
  take('L');  // internal linkage
  if (peek() == 'U') {
    named = unnamed_or_lambda();
  } else if (is_digit(peek())) {
    named = source_name();
  } else if (take("DC")) {
    uint16_t first = 0, last = 0;
    while (!take('E'))
      if (!append(first, last, source_name())) return 0;
    named = first ? make(NodeKind::bindings, first) : 0;
  } else if (peek() == 'C' || peek() == 'D') {
    named = structor(scope);
    if (facts) facts->is_conversion_or_structor = true;
  } else if (is_lower(peek())) {
    named = operator_name(facts);
  }
  return with_tags(named);
}

uint16_t NameParser::with_tags(uint16_t named) {
  while (named && take('B')) {
    uint16_t tag = source_name();
    named = tag ? make(NodeKind::tagged, named, 0, node(tag).text) : 0;
  }
  return named;
}

uint16_t NameParser::source_name() {
  uint32_t size;
  if (!number(size) || size == 0 || size > static_cast<size_t>(end_ - at_)) return 0;
  std::string_view text(at_, size);
  at_ += size;
  bool is_anonymous = size >= 10 && text.starts_with("_GLOBAL_") && text[9] == 'N' &&
                      (text[8] == '_' || text[8] == '.' || text[8] == '$');
  return make_text(is_anonymous ? std::string_view("(anonymous namespace)") : text);
}

uint16_t NameParser::structor(uint16_t scope) {
  if (!scope) return 0;
  bool is_constructor = *at_++ == 'C';
  bool is_inherited = is_constructor && take('I');
  if (peek() < '0' || peek() > '5') return 0;
  ++at_;
  // It goes by the name of the class that it comes from.
  if (is_inherited) scope = type();
  if (!scope) return 0;
  return make(is_constructor ? NodeKind::constructor : NodeKind::destructor, scope);
}

uint16_t NameParser::operator_name(NameFacts* facts) {
  if (take("cv")) {
    bool saved = in_conversion_;
    in_conversion_ = true;  // arguments behind the type are the operator's
    uint16_t to = type();
    in_conversion_ = saved;
    if (facts) facts->is_conversion_or_structor = true;
    return to ? make(NodeKind::conversion, to) : 0;
  }
  if (take("li")) {
    uint16_t suffix = source_name();
    return suffix ? make(NodeKind::operator_name, suffix, 0, "\"\" ") : 0;
  }
  for (const Operator& one : kOperators)
    if (take(one.code)) return make(NodeKind::operator_name, 0, 0, one.text);
  return 0;
}

uint16_t NameParser::unnamed_or_lambda() {
  bool is_lambda = take("Ul");
  if (!is_lambda && !take("Ut")) return 0;
  uint16_t parameters = 0;
  if (is_lambda) {
    if (!take('v') && !(parameters = type_list('E'))) return 0;
    if (!take('E')) return 0;
  }
  uint32_t which;
  if (!sequence_number(which, false) || which >= UINT16_MAX) return 0;
  return make(is_lambda ? NodeKind::lambda : NodeKind::unnamed, parameters, static_cast<uint16_t>(which + 1));
}

uint16_t NameParser::substitution(bool is_prefix) {
  ++at_;
  struct Standard {
    char letter;
    std::string_view text;
    std::string_view whole;
  };
  static constexpr Standard kStandard[] = {
      {'a', "std::allocator", "std::allocator"},
      {'b', "std::basic_string", "std::basic_string"},
      {'s', "std::string", "std::basic_string<char, std::char_traits<char>, std::allocator<char> >"},
      {'i', "std::istream", "std::basic_istream<char, std::char_traits<char> >"},
      {'o', "std::ostream", "std::basic_ostream<char, std::char_traits<char> >"},
      {'d', "std::iostream", "std::basic_iostream<char, std::char_traits<char> >"},
  };
  for (const Standard& one : kStandard) {
    if (!take(one.letter)) continue;
    // A constructor is named after the class itself.
    bool is_structor = is_prefix && (peek() == 'C' || peek() == 'D');
    uint16_t plain =
        make(NodeKind::standard, 0, 0, is_structor ? one.whole : one.text, static_cast<uint8_t>(one.letter));
    uint16_t tagged = with_tags(plain);
    if (tagged != plain && !remember(tagged)) return 0;
    return tagged;
  }
  uint32_t which;
  if (!sequence_number(which, true) || which >= substitution_count_) return 0;
  return memory_.substitutions_[which];
}

uint16_t NameParser::template_parameter() {
  ++at_;
  uint32_t index;
  if (!sequence_number(index, false) || index >= UINT16_MAX) return 0;
  return make(NodeKind::argument, 0, static_cast<uint16_t>(index));
}

/// Template arguments, behind the name of what they are for.
uint16_t NameParser::templated(uint16_t named, NameFacts* facts) {
  ++at_;
  bool saved = in_conversion_;
  in_conversion_ = false;
  uint16_t first = 0, last = 0;
  while (!take('E'))
    if (!append(first, last, template_argument())) return 0;
  in_conversion_ = saved;
  if (facts) {
    facts->ends_with_arguments = true;
    facts->arguments = first;
  }
  return make(NodeKind::templated, named, first);
}

uint16_t NameParser::template_argument() {
  if (peek() == 'L') return literal();
  if (take('X')) {
    uint16_t value = expression();
    return value && take('E') ? value : 0;
  }
  if (take('J') || take('I')) {  // I: before GCC 4.9
    uint16_t first = 0, last = 0;
    while (!take('E'))
      if (!append(first, last, template_argument())) return 0;
    return make(NodeKind::pack, first);
  }
  return type();
}

}  // namespace unfreed::report
