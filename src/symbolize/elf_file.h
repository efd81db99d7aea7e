// What an ELF file says of itself, read with bounds checks and no library: identity, how it is started, what it needs
// and defines, and whether it carries debug information. Files are untrusted: a truncated or forged one is an error
// text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace unfreed::symbolize {

class ElfFile {
 public:
  /// Large programs have millions of symbols: they are read only for who asks for them.
  enum class Symbols : uint8_t { skip, read };

  /// Reads `path`. Empty optional: `error` says why ("not an ELF file", "cut short" …).
  static std::optional<ElfFile> read(const std::string& path, Symbols symbols, std::string& error);

  bool is_64_bit() const { return is_64_bit_; }
  uint16_t machine() const { return machine_; }                    ///< EM_…
  uint16_t type() const { return type_; }                          ///< ET_…
  bool is_dynamic() const { return is_dynamic_; }                  ///< has a dynamic section
  const std::string& interpreter() const { return interpreter_; }  ///< PT_INTERP; "" where there is none
  const std::vector<std::string>& needed() const { return needed_; }  ///< only where symbols were asked for
  const std::string& build_id() const { return build_id_; }      ///< raw bytes; "" where there is none
  const std::string& debug_link() const { return debug_link_; }  ///< .gnu_debuglink's file name; "" where there is none
  bool has_section(std::string_view name) const;
  bool has_debug_info() const { return has_section(".debug_info") || has_section(".zdebug_info"); }

  /// Is `symbol` defined here (not merely referred to), in either symbol table?
  bool defines(std::string_view symbol) const;
  /// Same, but only where other objects can see it: in the dynamic symbol table.
  bool exports(std::string_view symbol) const;
  /// Does any defined symbol begin with `prefix`?
  bool defines_prefix(std::string_view prefix) const;

 private:
  struct Symbol {
    std::string name;
    bool dynamic;
  };
  template <class Class>
  std::optional<std::string> parse(int file, uint64_t size, Symbols wanted);

  bool is_64_bit_ = false;
  bool is_dynamic_ = false;
  uint16_t machine_ = 0;
  uint16_t type_ = 0;
  std::string interpreter_;
  std::vector<std::string> needed_;
  std::string build_id_;
  std::string debug_link_;
  std::vector<std::string> section_names_;
  std::vector<Symbol> symbols_;  ///< the defined ones
};

/// Hexadecimal of raw bytes: how build IDs are written.
std::string to_hex(std::string_view bytes);

}  // namespace unfreed::symbolize
