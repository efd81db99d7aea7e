// The text of names and expressions; see demangle_print.cpp.
#include "report/demangle_tree.h"

namespace unfreed::report {

/// A class's own name, as its constructor has it.
void NamePrinter::base_name(uint16_t number, int depth) {
  const NameNode& one = node(number);
  if (depth > 24) {
    failed_ = true;
    return;
  }
  switch (one.kind) {
    case NodeKind::text:
      return add(one.text);
    case NodeKind::standard: {
      static constexpr std::string_view kNames[] = {"allocator",     "basic_string",  "basic_string",
                                                    "basic_istream", "basic_ostream", "basic_iostream"};
      return add(kNames[std::string_view("absiod").find(static_cast<char>(one.flags))]);
    }
    case NodeKind::nested:
    case NodeKind::local:
      return base_name(one.b, depth + 1);
    case NodeKind::templated:
    case NodeKind::tagged:
      return base_name(one.a, depth + 1);
    default:
      failed_ = true;
  }
}

void NamePrinter::parameters_of_lambda(uint16_t list) {
  bool saved = in_lambda_;
  in_lambda_ = true;
  items(list);
  in_lambda_ = saved;
}

void NamePrinter::local(const NameNode& one) {
  whole(one.a);
  add("::");
  whole(one.b);
}

void NamePrinter::left_of_name(const NameNode& one) {
  switch (one.kind) {
    case NodeKind::text:
    case NodeKind::builtin:
    case NodeKind::standard:
      return add(one.text);
    case NodeKind::nested:
    case NodeKind::local:
      return local(one);
    case NodeKind::templated:
      whole(one.a);
      return arguments(one.b);
    case NodeKind::special:
      if (one.flags) {
        add("reference temporary #");
        add_number(one.c);
      }
      add(one.text);
      whole(one.a);
      if (one.b) {
        add("-in-");
        whole(one.b);
      }
      return;
    case NodeKind::constructor:
      return base_name(one.a, 0);
    case NodeKind::destructor:
      add("~");
      return base_name(one.a, 0);
    case NodeKind::tagged:
      whole(one.a);
      add("[abi:");
      add(one.text);
      return add("]");
    case NodeKind::operator_name:
      add("operator");
      add(one.text);
      return whole(one.a);
    case NodeKind::conversion:
      add("operator ");
      return whole(one.a);
    case NodeKind::lambda:
      add("{lambda(");
      parameters_of_lambda(one.a);
      add(")#");
      add_number(one.b);
      return add("}");
    case NodeKind::unnamed:
      add("{unnamed type#");
      add_number(one.b);
      return add("}");
    case NodeKind::argument:
      add("auto:");
      return add_number(one.b + uint64_t{1});
    case NodeKind::bindings:
      add("[");
      items(one.a);
      return add("]");
    default:
      return left_of_expression(one);
  }
}

void NamePrinter::literal(const NameNode& one) {
  const NameNode& type = node(one.a);
  char letter = type.kind == NodeKind::builtin ? static_cast<char>(type.flags) : '\0';
  std::string_view suffix = letter == 'j'   ? "u"
                            : letter == 'l' ? "l"
                            : letter == 'm' ? "ul"
                            : letter == 'x' ? "ll"
                            : letter == 'y' ? "ull"
                                            : "";
  if (letter == 'b' && (one.text == "0" || one.text == "1")) return add(one.text == "1" ? "true" : "false");
  if (one.text.empty()) return whole(one.a);  // nullptr
  bool is_plain = letter == 'i' || !suffix.empty();
  bool is_float = letter == 'f' || letter == 'd' || letter == 'e';
  if (!is_plain) {
    add("(");
    whole(one.a);
    add(")");
  }
  if (one.flags) add("-");
  if (is_float) add("[");
  add(one.text);
  if (is_float) add("]");
  add(suffix);
}

/// As part of a larger expression.
void NamePrinter::operand(uint16_t number) {
  const NameNode& one = node(seen_through(number));
  NodeKind kind = one.kind == NodeKind::literal_name ? node(one.a).kind : one.kind;
  bool is_plain_nested = kind == NodeKind::nested && node(one.b).kind != NodeKind::templated;
  bool is_simple = kind == NodeKind::text || is_plain_nested || kind == NodeKind::parameter ||
                   kind == NodeKind::standard || (kind == NodeKind::braces && !node(number).a);
  if (!is_simple) add("(");
  whole(number);
  if (!is_simple) add(")");
}

void NamePrinter::left_of_expression(const NameNode& one) {
  switch (one.kind) {
    case NodeKind::literal:
      return literal(one);
    case NodeKind::literal_name:
      return whole(one.a);
    case NodeKind::prefix: {
      add(one.text);
      // The address of a function is written without its parameters.
      const NameNode& of = node(one.a);
      const NameNode& function = of.kind == NodeKind::literal_name ? node(of.a) : of;
      if (one.text == "&" && function.kind == NodeKind::encoding && node(function.a).kind == NodeKind::nested &&
          !node(function.b).flags)
        return whole(function.a);
      return operand(one.a);
    }
    case NodeKind::prefix_type:
      add(one.text);
      add("(");
      whole(one.a);
      return add(")");
    case NodeKind::binary:
      if (one.text == ">") add("(");
      operand(one.a);
      add(one.text);
      operand(one.b);
      if (one.text == ">") add(")");
      return;
    case NodeKind::member:
      operand(one.a);
      add(one.text);
      return operand(one.b);
    case NodeKind::subscript:
      operand(one.a);
      add("[");
      whole(one.b);
      return add("]");
    case NodeKind::conditional:
      operand(one.a);
      add("?");
      operand(one.b);
      add(" : ");
      return operand(one.c);
    case NodeKind::call:
      operand(one.a);
      add("(");
      items(one.b);
      return add(")");
    case NodeKind::cast:
      add("(");
      whole(one.a);
      add(")");
      return operand(one.b);
    case NodeKind::cast_list:
      add("(");
      whole(one.a);
      add(")(");
      items(one.b);
      return add(")");
    case NodeKind::named_cast:
      add(one.text);
      add("<");
      whole(one.a);
      add(last_ == '>' ? " >(" : ">(");
      whole(one.b);
      return add(")");
    case NodeKind::braces:
      if (one.a) whole(one.a);
      add("{");
      items(one.b);
      return add("}");
    case NodeKind::size_of_pack:
      return size_of_pack(one.a);
    case NodeKind::creation:
      add(one.text);
      if (one.a) {
        add("(");
        items(one.a);
        add(") ");
      }
      whole(one.b);
      if (one.flags) {
        add("(");
        items(one.c);
        add(")");
      }
      return;
    case NodeKind::parameter:
      add("{parm#");
      add_number(one.b);
      return add("}");
    case NodeKind::decltype_of:
      add("decltype (");
      whole(one.a);
      return add(")");
    default:
      failed_ = true;
  }
}

}  // namespace unfreed::report
