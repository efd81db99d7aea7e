// Types and expressions; see demangle_parse.cpp.
#include "base/text.h"
#include "report/demangle_tree.h"

namespace unfreed::report {

namespace {

bool is_digit(char one) { return one >= '0' && one <= '9'; }
bool is_lower(char one) { return one >= 'a' && one <= 'z'; }

/// By letter; empty: no type.
constexpr std::string_view kBuiltinTypes[26] = {
    "signed char",
    "bool",
    "char",
    "double",
    "long double",
    "float",
    "__float128",
    "unsigned char",
    "int",
    "unsigned int",
    {},
    "long",
    "unsigned long",
    "__int128",
    "unsigned __int128",
    {},
    {},
    {},
    "short",
    "unsigned short",
    {},
    "void",
    "wchar_t",
    "long long",
    "unsigned long long",
    "...",
};

struct Named {
  char code[3];
  std::string_view text;
};
constexpr Named kMoreTypes[] = {
    {"Dn", "decltype(nullptr)"}, {"Di", "char32_t"},  {"Ds", "char16_t"},   {"Du", "char8_t"},   {"Da", "auto"},
    {"Dc", "decltype(auto)"},    {"Dd", "decimal64"}, {"De", "decimal128"}, {"Df", "decimal32"}, {"Dh", "half"},
};

constexpr std::string_view kFloatTypes[] = {"_Float16", "_Float32", "_Float64", "_Float128"};

struct Operation {
  char code[3];
  NodeKind kind;
  std::string_view text;
};
constexpr Operation kOperations[] = {
    {"ps", NodeKind::prefix, "+"},
    {"ng", NodeKind::prefix, "-"},
    {"ad", NodeKind::prefix, "&"},
    {"de", NodeKind::prefix, "*"},
    {"co", NodeKind::prefix, "~"},
    {"nt", NodeKind::prefix, "!"},
    {"nx", NodeKind::prefix, "noexcept"},
    {"sz", NodeKind::prefix, "sizeof "},
    {"az", NodeKind::prefix, "alignof "},
    {"st", NodeKind::prefix_type, "sizeof "},
    {"at", NodeKind::prefix_type, "alignof "},
    {"pl", NodeKind::binary, "+"},
    {"mi", NodeKind::binary, "-"},
    {"ml", NodeKind::binary, "*"},
    {"dv", NodeKind::binary, "/"},
    {"rm", NodeKind::binary, "%"},
    {"an", NodeKind::binary, "&"},
    {"or", NodeKind::binary, "|"},
    {"eo", NodeKind::binary, "^"},
    {"aS", NodeKind::binary, "="},
    {"pL", NodeKind::binary, "+="},
    {"mI", NodeKind::binary, "-="},
    {"mL", NodeKind::binary, "*="},
    {"ls", NodeKind::binary, "<<"},
    {"rs", NodeKind::binary, ">>"},
    {"eq", NodeKind::binary, "=="},
    {"ne", NodeKind::binary, "!="},
    {"lt", NodeKind::binary, "<"},
    {"gt", NodeKind::binary, ">"},
    {"le", NodeKind::binary, "<="},
    {"ge", NodeKind::binary, ">="},
    {"ss", NodeKind::binary, "<=>"},
    {"aa", NodeKind::binary, "&&"},
    {"oo", NodeKind::binary, "||"},
    {"cm", NodeKind::binary, ","},
    {"ix", NodeKind::subscript, {}},
    {"qu", NodeKind::conditional, {}},
    {"dt", NodeKind::member, "."},
    {"pt", NodeKind::member, "->"},
    {"sc", NodeKind::named_cast, "static_cast"},
    {"cc", NodeKind::named_cast, "const_cast"},
    {"dc", NodeKind::named_cast, "dynamic_cast"},
    {"rc", NodeKind::named_cast, "reinterpret_cast"},
};

}  // namespace

/// Types up to `end`, which stays, or the end of the text; at least one.
uint16_t NameParser::type_list(char end) {
  uint16_t first = 0, last = 0;
  while (at_ < end_ && peek() != end) {
    // A function type's reference qualifier stands behind its parameters.
    if ((peek() == 'R' || peek() == 'O') && peek(1) == 'E' && end == 'E') break;
    if (!append(first, last, type())) return 0;
  }
  return first;
}

uint16_t NameParser::type() {
  if (++nesting_ > kMostNesting) return 0;
  uint16_t result = 0;
  bool is_remembered = true;
  char first = peek();
  char second = peek(1);
  if (first == 'r' || first == 'V' || first == 'K') {
    result = qualified_type();
  } else if (is_lower(first) && first != 'u') {
    result = builtin_type();
    is_remembered = false;
  } else if (first == 'D' && second != 'C') {
    is_remembered = second == 'p' || second == 't' || second == 'T' || second == 'v' || second == 'o';
    result = d_type();
  } else if (first == 'S' && second != 't') {
    result = substitution(false);
    is_remembered = result && peek() == 'I' && !in_conversion_;
    if (is_remembered) result = templated(result, nullptr);
  } else if (first == 'T' && second != 's' && second != 'u' && second != 'e') {
    result = template_parameter();
    if (result && peek() == 'I' && !in_conversion_) {
      if (!remember(result)) return 0;
      result = templated(result, nullptr);
    }
  } else {
    ++at_;
    switch (first) {
      case 'P':
        result = wrapped(NodeKind::pointer, type());
        break;
      case 'R':
        result = wrapped(NodeKind::lvalue, type());
        break;
      case 'O':
        result = wrapped(NodeKind::rvalue, type());
        break;
      case 'C':
      case 'G': {
        uint16_t of = type();
        result = of ? make(NodeKind::vendor, of, 0, first == 'C' ? " _Complex" : " _Imaginary") : uint16_t{0};
        break;
      }
      case 'M': {
        uint16_t of = type();
        uint16_t member = of ? type() : uint16_t{0};
        result = member ? make(NodeKind::member_pointer, of, member) : uint16_t{0};
        break;
      }
      case 'A':
        result = array_type();
        break;
      case 'F':
        --at_;
        result = function_type_in_type(0);
        break;
      case 'u':
        result = source_name();
        break;
      default:
        --at_;
        result = name(nullptr);
    }
  }
  --nesting_;
  return result && is_remembered && !remember(result) ? uint16_t{0} : result;
}

uint16_t NameParser::qualified_type() {
  uint8_t flags = 0;
  if (take('r')) flags |= kRestrict;
  if (take('V')) flags |= kVolatile;
  if (take('K')) flags |= kConst;
  bool is_function = peek() == 'F' || (peek() == 'D' && peek(1) == 'o');
  if (is_function) return function_type_in_type(flags);
  uint16_t of = type();
  return of ? make(NodeKind::qualified, of, 0, {}, flags) : 0;
}

uint16_t NameParser::builtin_type() {
  char letter = *at_;
  std::string_view text = kBuiltinTypes[letter - 'a'];
  if (text.empty()) return 0;
  ++at_;
  return make(NodeKind::builtin, 0, 0, text, static_cast<uint8_t>(letter));
}

uint16_t NameParser::d_type() {
  for (const Named& one : kMoreTypes)
    if (take(one.code)) return make(NodeKind::builtin, 0, 0, one.text);
  if (take("Dp")) return wrapped(NodeKind::expansion, type());
  if (take("Dt") || take("DT")) {
    uint16_t value = expression();
    return value && take('E') ? make(NodeKind::decltype_of, value) : 0;
  }
  if (peek() == 'D' && peek(1) == 'o') return function_type_in_type(0);
  if (take("DF")) {
    for (std::string_view one : kFloatTypes)
      if (base::slice(one, 6) == base::slice({at_, static_cast<size_t>(end_ - at_)}, 0, one.size() - 6)) {
        at_ += one.size() - 6;
        return take('_') ? make(NodeKind::builtin, 0, 0, one) : 0;
      }
    return 0;
  }
  if (take("Dv")) {
    std::string_view members = digits();
    uint16_t count = members.empty() || !take('_') ? uint16_t{0} : make_text(members);
    uint16_t of = count ? type() : uint16_t{0};
    return of ? make(NodeKind::vector, of, count) : 0;
  }
  return 0;
}

uint16_t NameParser::function_type_in_type(uint8_t qualifiers) {
  if (take("Do")) qualifiers |= kNoexcept;
  if (!take('F')) return 0;
  take('Y');  // extern "C"
  uint16_t result = type();
  if (!result) return 0;
  uint16_t parameters = 0;
  if (!take('v')) {
    parameters = type_list('E');
    if (!parameters) return 0;
  }
  if (peek() == 'R' || peek() == 'O') qualifiers |= *at_++ == 'R' ? kLvalue : kRvalue;
  return take('E') ? make(NodeKind::function, result, parameters, {}, qualifiers) : 0;
}

uint16_t NameParser::array_type() {
  uint16_t dimension = 0;
  if (is_digit(peek())) {
    dimension = make_text(digits());
  } else if (peek() != '_') {
    dimension = expression();
    if (!dimension) return 0;
  }
  uint16_t of = take('_') ? type() : uint16_t{0};
  return of ? make(NodeKind::array, of, dimension) : 0;
}

uint16_t NameParser::literal() {
  ++at_;
  if (take("_Z") || take('Z')) {
    uint16_t named = encoding(true);
    return named && take('E') ? make(NodeKind::literal_name, named) : 0;
  }
  uint16_t of = type();
  if (!of) return 0;
  bool is_negative = take('n');
  const char* start = at_;
  while (at_ < end_ && peek() != 'E') ++at_;
  std::string_view value(start, static_cast<size_t>(at_ - start));
  for (char one : value)
    if (!is_digit(one) && !is_lower(one)) return 0;
  return take('E') ? make(NodeKind::literal, of, 0, value, is_negative) : 0;
}

uint16_t NameParser::expression_list(char end) {
  uint16_t first = 0, last = 0;
  while (!take(end))
    if (!append(first, last, expression())) return 0;
  return first ? first : make(NodeKind::list);
}

uint16_t NameParser::expression() {
  if (++nesting_ > kMostNesting) return 0;
  uint16_t result = expression_by_code();
  --nesting_;
  return result;
}

uint16_t NameParser::expression_by_code() {
  if (peek() == 'L') return literal();
  if (peek() == 'T') return template_parameter();
  if (peek() == 'f' && (peek(1) == 'p' || peek(1) == 'L')) return parameter_expression();
  if (is_digit(peek())) return simple_name();
  if (peek() == 's' && peek(1) == 'r') return unresolved_name();
  bool is_global = take("gs");
  if (take("nw")) return creation(is_global);
  if (is_global) return 0;
  if (take("sp")) return wrapped(NodeKind::expansion, expression());
  if (take("sZ")) return wrapped(NodeKind::size_of_pack, peek() == 'T' ? template_parameter() : expression());
  if (take("cl")) {
    uint16_t function = expression();
    uint16_t list = function ? expression_list('E') : uint16_t{0};
    return list ? make(NodeKind::call, function, list) : 0;
  }
  if (take("cv")) return cast_expression();
  if (take("tl")) {
    uint16_t of = type();
    uint16_t list = of ? expression_list('E') : uint16_t{0};
    return list ? make(NodeKind::braces, of, list) : 0;
  }
  if (take("il")) {
    uint16_t list = expression_list('E');
    return list ? make(NodeKind::braces, 0, list) : 0;
  }
  return operator_expression();
}

uint16_t NameParser::operator_expression() {
  for (const Operation& one : kOperations) {
    if (!take(one.code)) continue;
    bool starts_with_type = one.kind == NodeKind::prefix_type || one.kind == NodeKind::named_cast;
    uint16_t first = starts_with_type ? type() : expression();
    if (!first) return 0;
    if (one.kind == NodeKind::prefix || one.kind == NodeKind::prefix_type) return make(one.kind, first, 0, one.text);
    uint16_t second = one.kind == NodeKind::member ? unresolved_name() : expression();
    if (!second) return 0;
    uint16_t result = make(one.kind, first, second, one.text);
    if (result && one.kind == NodeKind::conditional) {
      uint16_t third = expression();
      if (!third) return 0;
      node(result).c = third;
    }
    return result;
  }
  return 0;
}

uint16_t NameParser::cast_expression() {
  uint16_t to = type();
  if (!to) return 0;
  if (take('_')) {
    uint16_t list = expression_list('E');
    return list ? make(NodeKind::cast_list, to, list) : 0;
  }
  uint16_t value = expression();
  return value ? make(NodeKind::cast, to, value) : 0;
}

uint16_t NameParser::creation(bool is_global) {
  uint16_t placement = 0, last = 0;
  while (!take('_'))
    if (!append(placement, last, expression())) return 0;
  uint16_t of = type();
  bool has_arguments = of && take("pi");
  if (!of || (!has_arguments && !take('E'))) return 0;
  uint16_t arguments = has_arguments ? expression_list('E') : uint16_t{0};
  if (has_arguments && !arguments) return 0;
  uint16_t result = make(NodeKind::creation, placement, of, is_global ? "::new " : "new ", has_arguments);
  if (result) node(result).c = arguments;
  return result;
}

/// fp, fL: a function's parameter, in its return type.
uint16_t NameParser::parameter_expression() {
  bool is_nested = peek(1) == 'L';
  at_ += 2;
  if (is_nested && (digits().empty() || !take('p'))) return 0;
  if (take('T')) return make_text("this");
  while (peek() == 'r' || peek() == 'V' || peek() == 'K') ++at_;
  uint32_t which;
  if (!sequence_number(which, false)) return 0;
  return make(NodeKind::parameter, 0, static_cast<uint16_t>(which + 1));
}

/// A name in an expression, with template arguments if any.
uint16_t NameParser::simple_name() {
  uint16_t named = source_name();
  return named && peek() == 'I' ? templated(named, nullptr) : named;
}

uint16_t NameParser::unresolved_name() {
  if (is_digit(peek())) return simple_name();
  if (!take("sr")) return 0;
  // Levels of plain names have an E behind them; those that start with a type are a nested name by themselves.
  bool is_plain = is_digit(peek());
  uint16_t scope = is_plain ? simple_name() : type();
  if (!scope) return 0;
  uint16_t named = 0;
  while (is_plain && !take('E')) {
    named = simple_name();
    scope = named ? make(NodeKind::nested, scope, named) : 0;
    if (!scope) return 0;
  }
  named = simple_name();
  return named ? make(NodeKind::nested, scope, named) : 0;
}

}  // namespace unfreed::report
