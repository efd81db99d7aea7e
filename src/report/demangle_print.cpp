// The text of a name's tree. A type is written around what it is the type of ("void (*" … ")(int)"), so each has a left
// and a right part.
#include <cstring>

#include "base/text.h"
#include "report/demangle_tree.h"

namespace unfreed::report {

namespace {
/// A tree is small, but shares its parts: written out it can be as large as it likes.
constexpr uint32_t kMostSteps = 40'000;
/// Deeper than the parser's: each substitution is another level.
constexpr int kMostPrintedNesting = 160;
}  // namespace

/// One level and one step of printing.
class NamePrinter::Step {
 public:
  explicit Step(NamePrinter& printer) : printer_(printer) {
    if (++printer_.nesting_ > kMostPrintedNesting || ++printer_.steps_ > kMostSteps) printer_.failed_ = true;
  }
  ~Step() { --printer_.nesting_; }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

 private:
  NamePrinter& printer_;
};

bool NamePrinter::print(uint16_t root) {
  whole(root);
  return !failed_ && size_ > 0;
}

void NamePrinter::add(std::string_view text) {
  if (failed_ || text.size() > Demangler::kMostText - size_) {
    failed_ = true;
    return;
  }
  if (text.empty()) return;
  std::memcpy(memory_.text_ + size_, text.data(), text.size());
  size_ += text.size();
  last_ = text.back();
}

void NamePrinter::add_number(uint64_t value) {
  base::FixedText<24> digits;
  add(digits.add_number(value).text());
}

uint16_t NamePrinter::member_of(uint16_t list, int index) const {
  while (list && index-- > 0) list = node(list).b;
  return list ? node(list).a : uint16_t{0};
}

uint16_t NamePrinter::seen_through(uint16_t number) {
  for (int left = 16; left > 0 && number; --left) {
    const NameNode& one = node(number);
    if (one.kind != NodeKind::argument || in_lambda_) return number;
    number = member_of(arguments_, one.b);
    if (pack_index_ >= 0 && node(number).kind == NodeKind::pack) number = member_of(node(number).a, pack_index_);
  }
  failed_ = true;
  return 0;
}

bool NamePrinter::has_right(uint16_t number) {
  Step step(*this);
  if (failed_) return false;
  const NameNode& one = node(seen_through(number));
  switch (one.kind) {
    case NodeKind::array:
    case NodeKind::function:
      return true;
    case NodeKind::pointer:
    case NodeKind::lvalue:
    case NodeKind::rvalue:
    case NodeKind::qualified:
    case NodeKind::vendor:
      return has_right(one.a);
    case NodeKind::member_pointer:
      return has_right(one.b);
    default:
      return false;
  }
}

bool NamePrinter::is_array_or_function(uint16_t number) {
  const NameNode* one = &node(seen_through(number));
  while (one->kind == NodeKind::qualified) one = &node(seen_through(one->a));
  return one->kind == NodeKind::array || one->kind == NodeKind::function;
}

void NamePrinter::whole(uint16_t number) {
  left(number);
  right(number);
}

void NamePrinter::qualifiers(uint8_t flags) {
  if (flags & kConst) add(" const");
  if (flags & kVolatile) add(" volatile");
  if (flags & kRestrict) add(" restrict");
  if (flags & kLvalue) add(" &");
  if (flags & kRvalue) add(" &&");
  if (flags & kNoexcept) add(" noexcept");
}

void NamePrinter::open_declarator(uint16_t inner) {
  left(inner);
  if (!is_array_or_function(inner)) return;
  if (last_ != ' ' && last_ != '(') add(" ");
  add("(");
}

void NamePrinter::close_declarator(uint16_t inner) {
  if (is_array_or_function(inner)) add(")");
  right(inner);
}

/// References to references are one reference.
uint16_t NamePrinter::collapsed(uint16_t number, bool& is_lvalue) {
  const NameNode* one = &node(number);
  is_lvalue = one->kind == NodeKind::lvalue;
  uint16_t inner = seen_through(one->a);
  for (one = &node(inner); one->kind == NodeKind::lvalue || one->kind == NodeKind::rvalue; one = &node(inner)) {
    is_lvalue = is_lvalue || one->kind == NodeKind::lvalue;
    inner = seen_through(one->a);
    if (++steps_ > kMostSteps) failed_ = true;
    if (failed_) break;
  }
  return inner;
}

void NamePrinter::left(uint16_t number) {
  Step step(*this);
  if (failed_ || !number) return;
  number = seen_through(number);
  const NameNode& one = node(number);
  switch (one.kind) {
    case NodeKind::pointer:
      open_declarator(one.a);
      return add("*");
    case NodeKind::lvalue:
    case NodeKind::rvalue: {
      bool is_lvalue;
      open_declarator(collapsed(number, is_lvalue));
      return add(is_lvalue ? "&" : "&&");
    }
    default:
      return left_of(one);
  }
}

void NamePrinter::left_of(const NameNode& one) {
  switch (one.kind) {
    case NodeKind::qualified: {
      // A template's argument may bring the same qualifiers.
      const NameNode& inner = node(seen_through(one.a));
      left(one.a);
      return qualifiers(inner.kind == NodeKind::qualified ? one.flags & ~inner.flags : one.flags);
    }
    case NodeKind::vendor:
      left(one.a);
      return add(one.text);
    case NodeKind::array:
      return left(one.a);
    case NodeKind::vector:
      left(one.a);
      add(" __vector(");
      whole(one.b);
      return add(")");
    case NodeKind::function:
      left(one.a);
      if (one.a && !has_right(one.a)) add(" ");
      return;
    case NodeKind::member_pointer:
      left(one.b);
      if (is_array_or_function(one.b)) {
        if (last_ != ' ' && last_ != '(') add(" ");
        add("(");
      } else {
        add(" ");
      }
      whole(one.a);
      return add("::*");
    case NodeKind::expansion:
      return expansion(one);
    case NodeKind::pack:
      return items(one.a);
    case NodeKind::encoding:
      return encoding(one);
    default:
      return left_of_name(one);
  }
}

void NamePrinter::right(uint16_t number) {
  Step step(*this);
  if (failed_ || !number) return;
  number = seen_through(number);
  const NameNode& one = node(number);
  switch (one.kind) {
    case NodeKind::pointer:
      return close_declarator(one.a);
    case NodeKind::lvalue:
    case NodeKind::rvalue: {
      bool is_lvalue;
      return close_declarator(collapsed(number, is_lvalue));
    }
    case NodeKind::qualified:
    case NodeKind::vendor:
      return right(one.a);
    case NodeKind::member_pointer:
      if (is_array_or_function(one.b)) add(")");
      return right(one.b);
    case NodeKind::array:
      add(last_ == ']' ? "[" : " [");
      if (one.b) whole(one.b);
      add("]");
      return right(one.a);
    case NodeKind::function:
      parameters(one);
      right(one.a);
      return;
    default:
      return;
  }
}

/// Between commas; what comes to nothing (an empty pack) has none.
void NamePrinter::items(uint16_t list) {
  bool any = false;
  for (; list && !failed_; list = node(list).b) {
    if (!node(list).a) continue;
    size_t before = size_;
    if (any) add(", ");
    size_t start = size_;
    whole(node(list).a);
    if (size_ == start) {
      size_ = before;
      if (any) last_ = ' ';  // as c++filt has it, which writes "a<b<c>>" there
    } else {
      any = true;
    }
  }
}

void NamePrinter::arguments(uint16_t list) {
  if (last_ == '<') add(" ");
  add("<");
  int saved = pack_index_;
  items(list);
  pack_index_ = saved;
  add(last_ == '>' ? " >" : ">");
}

void NamePrinter::parameters(const NameNode& function) {
  add("(");
  items(function.b);
  add(")");
  qualifiers(function.flags);
}

/// result name(parameters) qualifiers, the result around it all.
void NamePrinter::encoding(const NameNode& one) {
  const NameNode& function = node(one.b);
  uint16_t saved_arguments = arguments_;
  int saved_index = pack_index_;
  if (one.c) arguments_ = one.c;
  pack_index_ = -1;
  if (function.a) {
    left(function.a);
    if (!has_right(function.a)) add(" ");
  }
  whole(one.a);
  parameters(function);
  if (function.a) right(function.a);
  arguments_ = saved_arguments;
  pack_index_ = saved_index;
}

/// A pack among the template's arguments that this node refers to.
uint16_t NamePrinter::find_pack(uint16_t number, int depth) {
  if (!number || depth > 24 || ++steps_ > kMostSteps) return 0;
  const NameNode& one = node(number);
  switch (one.kind) {
    case NodeKind::argument: {
      uint16_t meant = in_lambda_ ? uint16_t{0} : member_of(arguments_, one.b);
      return node(meant).kind == NodeKind::pack ? meant : uint16_t{0};
    }
    case NodeKind::expansion:  // whose packs are its own
    case NodeKind::encoding:
    case NodeKind::lambda:
    case NodeKind::unnamed:
    case NodeKind::parameter:
      return 0;
    default:
      for (uint16_t part : {one.a, one.b, one.c})
        if (uint16_t found = find_pack(part, depth + 1)) return found;
      return 0;
  }
}

void NamePrinter::expansion(const NameNode& one) {
  uint16_t pack = find_pack(one.a, 0);
  if (!pack) {
    operand(one.a);
    return add("...");
  }
  int count = 0;
  for (uint16_t cell = node(pack).a; cell; cell = node(cell).b) ++count;
  int saved = pack_index_;
  for (pack_index_ = 0; pack_index_ < count && !failed_; ++pack_index_) {
    if (pack_index_) add(", ");
    whole(one.a);
  }
  pack_index_ = saved;
}

void NamePrinter::size_of_pack(uint16_t number) {
  uint16_t pack = find_pack(number, 0);
  uint64_t count = 0;
  if (!pack) failed_ = true;
  for (uint16_t cell = node(pack).a; pack && cell; cell = node(cell).b) ++count;
  add_number(count);
}

std::string_view without_clone_suffix(std::string_view linkage_name) {
  static constexpr std::string_view kSuffixes[] = {".constprop", ".isra",       ".part",  ".cold",    ".lto_priv",
                                                   ".llvm",      ".localalias", ".clone", ".resolver"};
  size_t end = linkage_name.size();
  for (std::string_view suffix : kSuffixes) {
    for (size_t at = linkage_name.find(suffix, 1); at != linkage_name.npos; at = linkage_name.find(suffix, at + 1)) {
      size_t after = at + suffix.size();
      bool whole = after == linkage_name.size() || linkage_name[after] == '.';
      if (whole && at < end) end = at;
    }
  }
  return base::slice(linkage_name, 0, end);
}

std::string_view Demangler::demangle(std::string_view linkage_name) {
  std::string_view plain = without_clone_suffix(linkage_name);
  uint16_t root = NameParser(*this, plain).parse();
  if (!root) return plain;
  NamePrinter printer(*this);
  return printer.print(root) ? printer.text() : plain;
}

}  // namespace unfreed::report
