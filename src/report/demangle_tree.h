// The tree that a mangled name is parsed into. Internal to the demangler.
#pragma once

#include "report/demangle.h"

namespace unfreed::report {

enum class NodeKind : uint8_t {
  text,       ///< `text` as it is: an identifier, a keyword
  builtin,    ///< a built-in type: `text`, its letter in `flags` (0: more than a letter)
  standard,   ///< std::string and the like: `text`, the letter in `flags`
  nested,     ///< a::b
  templated,  ///< a<list b>
  list,       ///< a, then list b
  pack,       ///< a template parameter's pack: list a
  expansion,  ///< a, for each member of the packs in it
  pointer,    ///< a*
  lvalue,     ///< a&
  rvalue,     ///< a&&
  qualified,  ///< a with kConst … in `flags`
  vendor,     ///< a with the word in `text` behind it
  array,      ///< of a, dimension b (0: none)
  vector,     ///< of a, b members
  function,   ///< returning a (0: unsaid), parameters list b; `flags` as for qualified and kLvalue …; c: noexcept
  member_pointer,  ///< to a member of class a, of type b
  encoding,        ///< function a of type b; c: its own template's arguments, or those of nothing
  local,           ///< a::b, where a is a function
  special,         ///< `text` and then a; with b, "-in-" b
  constructor,     ///< of class a
  destructor,      ///< of class a
  tagged,          ///< a[abi:text]
  operator_name,   ///< "operator" `text`
  conversion,      ///< "operator" type a
  lambda,          ///< parameters list a, number b
  unnamed,         ///< number b
  argument,        ///< number b of the template's that the function is made from; in a lambda's parameters: auto
  bindings,        ///< [list a]
  literal,         ///< of type a, digits `text`, negative if `flags`
  literal_name,    ///< a, as an argument
  prefix,          ///< operator `text`, operand a
  prefix_type,     ///< the same, with a type
  suffix,          ///< operand a, operator `text`
  binary,          ///< a `text` b
  member,          ///< a `text` b, where b is a name
  subscript,       ///< a[b]
  conditional,     ///< a ? b : c
  call,            ///< a(list b)
  cast,            ///< (a)b
  cast_list,       ///< (a)(list b)
  named_cast,      ///< text<a>(b)
  braces,          ///< a{list b}
  size_of_pack,    ///< how many members a has
  parameter,       ///< {parm#b}
  decltype_of,     ///< decltype (a)
  creation,        ///< `text` (list a) type b; with `flags`, (list c)
};

inline constexpr uint8_t kConst = 1, kVolatile = 2, kRestrict = 4, kLvalue = 8, kRvalue = 16, kNoexcept = 32;

/// How deep names may be nested: each level costs a few hundred bytes of stack, and signal handlers' are small.
inline constexpr int kMostNesting = 48;

/// Text → tree.
class NameParser {
 public:
  NameParser(Demangler& memory, std::string_view name) : memory_(memory), at_(name.data()), end_(at_ + name.size()) {}
  /// The whole name's node; 0: not understood.
  uint16_t parse();

 private:
  /// What a name turned out to be: decides whether a return type follows, and what the function's type is.
  struct NameFacts {
    bool ends_with_arguments = false;
    bool is_conversion_or_structor = false;
    uint8_t qualifiers = 0;
    uint16_t arguments = 0;  ///< list: the last template's
  };
  class Nesting;

  char peek(size_t ahead = 0) const { return static_cast<size_t>(end_ - at_) > ahead ? at_[ahead] : '\0'; }
  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  bool take(const char* two) {
    if (peek() != two[0] || peek(1) != two[1]) return false;
    at_ += 2;
    return true;
  }
  uint16_t make(NodeKind kind, uint16_t a = 0, uint16_t b = 0, std::string_view text = {}, uint8_t flags = 0);
  uint16_t make_text(std::string_view text) { return make(NodeKind::text, 0, 0, text); }
  NameNode& node(uint16_t number) { return memory_.nodes_[number]; }
  /// Appends to a list under construction. False: no room, or nothing to append.
  bool append(uint16_t& first, uint16_t& last, uint16_t item);
  bool remember(uint16_t substitution);

  bool number(uint32_t& out);
  bool sequence_number(uint32_t& out, bool base_36);
  std::string_view digits();

  uint16_t encoding(bool is_outermost);
  uint16_t function_type(uint16_t result, uint8_t qualifiers, char end);
  uint16_t special_name();
  bool skip_call_offset();
  uint16_t name(NameFacts* facts);
  uint16_t nested_name(NameFacts* facts);
  uint16_t nested_part(uint16_t before, NameFacts* facts);
  uint16_t local_name(NameFacts* facts);
  uint16_t unqualified_name(uint16_t scope, NameFacts* facts);
  uint16_t source_name();
  uint16_t structor(uint16_t scope);
  uint16_t operator_name(NameFacts* facts);
  uint16_t unnamed_or_lambda();
  uint16_t with_tags(uint16_t named);
  uint16_t substitution(bool is_prefix);
  uint16_t template_parameter();
  uint16_t templated(uint16_t named, NameFacts* facts);
  uint16_t template_argument();

  uint16_t type();
  uint16_t qualified_type();
  uint16_t builtin_type();
  uint16_t d_type();
  uint16_t function_type_in_type(uint8_t qualifiers);
  uint16_t array_type();
  uint16_t type_list(char end);
  uint16_t wrapped(NodeKind kind, uint16_t inner) { return inner ? make(kind, inner) : 0; }

  uint16_t expression();
  uint16_t expression_by_code();
  uint16_t operator_expression();
  uint16_t expression_list(char end);
  uint16_t literal();
  uint16_t unresolved_name();
  uint16_t simple_name();
  uint16_t cast_expression();
  uint16_t parameter_expression();
  uint16_t creation(bool is_global);

  Demangler& memory_;
  const char* at_;
  const char* end_;
  uint16_t node_count_ = 1;
  uint16_t substitution_count_ = 0;
  int nesting_ = 0;
  bool in_conversion_ = false;  ///< in the type that a conversion operator is named after
};

/// Tree → text.
class NamePrinter {
 public:
  explicit NamePrinter(Demangler& memory) : memory_(memory) {}
  /// False: it did not fit, or made no sense.
  bool print(uint16_t root);
  std::string_view text() const { return {memory_.text_, size_}; }

 private:
  class Step;

  const NameNode& node(uint16_t number) const { return memory_.nodes_[number]; }
  void add(std::string_view text);
  void add_number(uint64_t value);

  void whole(uint16_t number);
  void left(uint16_t number);
  void right(uint16_t number);
  void left_of(const NameNode& one);
  void left_of_name(const NameNode& one);
  void left_of_expression(const NameNode& one);
  bool has_right(uint16_t number);
  bool is_array_or_function(uint16_t number);
  void open_declarator(uint16_t inner);
  void close_declarator(uint16_t inner);
  void qualifiers(uint8_t flags);
  void items(uint16_t list);
  void arguments(uint16_t list);
  void parameters(const NameNode& function);
  void encoding(const NameNode& one);
  void local(const NameNode& one);
  void parameters_of_lambda(uint16_t list);
  void expansion(const NameNode& one);
  void literal(const NameNode& one);
  void operand(uint16_t number);
  void base_name(uint16_t number, int depth);
  void size_of_pack(uint16_t number);
  /// What stands for a template parameter; the pack's present member.
  uint16_t seen_through(uint16_t number);
  uint16_t member_of(uint16_t list, int index) const;
  uint16_t find_pack(uint16_t number, int depth);
  uint16_t collapsed(uint16_t number, bool& is_lvalue);

  Demangler& memory_;
  size_t size_ = 0;
  char last_ = '\0';  ///< what stands before what comes next
  int nesting_ = 0;
  uint32_t steps_ = 0;
  bool failed_ = false;
  int pack_index_ = -1;
  uint16_t arguments_ = 0;  ///< list: what template parameters stand for at present
  bool in_lambda_ = false;  ///< in its parameters: template parameters are its own
};

}  // namespace unfreed::report
