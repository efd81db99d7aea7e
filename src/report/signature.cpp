#include "report/json.h"
#include "report/scan.h"

namespace unfreed::report {

namespace {

/// What compilers and linkers append to a function's name when they clone or split it; it changes from build to build.
constexpr std::string_view kCloneSuffixes[] = {".constprop.", ".isra.", ".part.",      ".cold",
                                               ".lto_priv.",  ".llvm.", ".localalias", ".clone."};

std::string_view without_clone_suffix(std::string_view name) {
  for (size_t at = 1; at < name.size(); ++at) {
    if (name[at] != '.') continue;
    for (std::string_view suffix : kCloneSuffixes)
      if (slice(name, at, suffix.size()) == suffix) return slice(name, 0, at);
  }
  return name;
}

}  // namespace

Signature::Signature(ledger::Kind kind, std::string_view door) {
  add(kind_name(kind));
  add("\n");
  add(door);
}

void Signature::add_frame(std::string_view module_path, std::string_view linkage_name) {
  add("\n");
  add(base_name(module_path));
  add("!");
  add(linkage_name.empty() ? std::string_view("?") : without_clone_suffix(linkage_name));
}

void Signature::add(std::string_view text) {
  constexpr uint64_t kPrime = 0x100000001b3;
  for (char character : text) hash_ = (hash_ ^ static_cast<unsigned char>(character)) * kPrime;
}

}  // namespace unfreed::report
