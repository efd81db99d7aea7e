#include "ledger/file_names.h"

#include "base/scan.h"

namespace unfreed::ledger {

namespace {

constexpr std::string_view kFolderPrefix = "unfreed-";

bool take_number(std::string_view& text, uint64_t most, uint64_t& out) {
  return base::take_number(text, out) && out <= most;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool is_hexadecimal(std::string_view text) {
  for (char digit : text)
    if (!(digit >= '0' && digit <= '9') && !(digit >= 'a' && digit <= 'f')) return false;
  return !text.empty();
}

}  // namespace

bool parse_file_name(std::string_view text, FileName& out) {
  uint64_t pid = 0;
  uint64_t image = 0;
  bool is_good = take_number(text, INT32_MAX, pid) && pid > 0 && take(text, "-") &&
                 take_number(text, UINT64_MAX, out.pid_namespace) && take(text, "-") &&
                 take_number(text, UINT32_MAX, image);
  out.pid = static_cast<int>(pid);
  out.image = static_cast<uint32_t>(image);
  out.done = text == kDoneSuffix;
  out.is_library = text == kLibrarySuffix;
  return is_good && (text.empty() || out.done || out.is_library);
}

void add_file_name(base::TextBuilder& out, const FileName& name) {
  out.add_signed(name.pid).add('-').add_number(name.pid_namespace).add('-').add_number(name.image);
  if (name.done) out.add(kDoneSuffix);
  if (name.is_library) out.add(kLibrarySuffix);
}

void add_folder_name(base::TextBuilder& out, unsigned user, uint64_t random) {
  out.add(kFolderPrefix).add_number(user);
  if (random) out.add('-').add_hex(random, 16);
}

bool is_folder_name(std::string_view text, unsigned user) {
  uint64_t number = 0;
  if (!take(text, kFolderPrefix) || !take_number(text, UINT32_MAX, number) || number != user) return false;
  return text.empty() || (take(text, "-") && is_hexadecimal(text));
}

}  // namespace unfreed::ledger
