#include "runtime/preload.h"

#include <cstring>

#include "base/printable.h"
#include "base/syscall.h"
#include "base/text.h"
#include "elf/preload.h"
#include "hook/handover.h"
#include "ledger/file_names.h"
#include "runtime/ledger_place.h"
#include "runtime/messages.h"
#include "runtime/own_settings.h"
#include "runtime/runtime.h"
#include "settings/programs.h"
#include "track/tracker.h"
#include "track/untracked.h"
#include "unwind/objects.h"

namespace unfreed::runtime {

namespace {

constexpr std::string_view kPreload = "LD_PRELOAD=";
/// Beside the library: folders by other names for it (see hook::Preloading).
constexpr std::string_view kOtherNames = "/preload/";

/// Copies of this process's settings, for programs that are started without: in memory that is never released. Null:
/// there is no memory.
char** copy_settings(char* const* environment) {
  size_t count = 0, bytes = 0;
  auto is_setting = [](std::string_view variable) { return variable.starts_with("UNFREED_"); };
  for (char* const* one = environment; one && *one; ++one)
    if (is_setting(*one)) ++count, bytes += std::string_view(*one).size() + 1;
  auto* memory = static_cast<char*>(base::map_memory((count + 1) * sizeof(char*) + bytes));
  if (!memory) return nullptr;
  auto** list = reinterpret_cast<char**>(memory);
  char* text = memory + (count + 1) * sizeof(char*);
  size_t at = 0;
  for (char* const* one = environment; one && *one; ++one) {
    std::string_view variable(*one);
    if (!is_setting(variable)) continue;
    list[at++] = text;
    std::memcpy(text, variable.data(), variable.size() + 1);
    text += variable.size() + 1;
  }
  list[at] = nullptr;
  return list;
}

char g_board[sizeof LedgerPlace::directory + sizeof LedgerPlace::run + 32];

char* find_preload(char* const* environment) {
  for (; environment && *environment; ++environment)
    if (std::string_view(*environment).starts_with(kPreload)) return *environment + kPreload.size();
  return nullptr;
}

/// Removes an entry from the list that it lies in, before the program sees it. Returns none.
std::string_view take_out(char* list, std::string_view entry) {
  if (entry.empty()) return entry;
  size_t at = static_cast<size_t>(entry.data() - list), end = at + entry.size();
  if (list[end])
    ++end;  // with the separator behind it
  else if (at > 0)
    --at;
  std::memmove(list + at, list + end, std::strlen(list + end) + 1);
  return {};
}

bool is_apart() { return is_run_out_of_reach(g_runtime.place, g_runtime.launcher_pid); }

bool is_noted(std::string_view program) { return report::is_wanted(g_settings, program); }

void find_own_path() {
  unwind::Object own;
  if (!unwind::find_object(reinterpret_cast<uintptr_t>(&find_own_path), own) || !*own.name) return;
  base::TextBuilder path(g_runtime.library_path);
  if (*own.name != '/') path.add(g_runtime.working_directory).add('/');
  path.add(own.name);
}

}  // namespace

void restore_preload(char** environment) {
  char* preload = find_preload(environment);
  if (!preload) return;
  std::string_view text(preload);
  size_t mark = text.find(elf::kSanitizerMark);
  if (mark == text.npos) return;
  std::string_view before = base::slice(text, mark + elf::kSanitizerMark.size());
  std::memmove(preload, before.data(), before.size());
  std::memset(preload + before.size(), 0, text.size() - before.size());
}

void prepare_preloading(char* const* environment) {
  find_own_path();
  hook::Preloading& preloading = hook::g_preloading;
  char* preload = find_preload(environment);
  std::string_view entry = preload ? elf::find_entry(preload, g_runtime.library_path) : std::string_view();
  if (g_runtime.is_traced_alone) entry = take_out(preload, entry);
  base::TextBuilder(preloading.entry).add(entry);
  base::TextBuilder(preloading.library).add(g_runtime.library_path);
  preloading.has_session = g_runtime.launcher_pid != 0;
  // What is traced is tracked, whether or not it can load the library.
  if (!g_settings.disabled && !g_runtime.is_attached && !g_runtime.place.is_library_part)
    preloading.is_noted = is_noted;
  if (!g_settings.disabled && g_runtime.launcher_pid) preloading.is_apart = is_apart;
  if (!g_settings.disabled && g_settings.follow == report::Follow::force)
    preloading.forced = copy_settings(environment);
  const LedgerPlace& place = g_runtime.place;
  if (!place.run[0]) return;
  base::TextBuilder(g_board).add(place.directory).add('/').add(place.run).add('/').add(ledger::kBoardFile);
  track::set_untracked_board(g_board);
}

std::string_view library_folder() {
  std::string_view library(g_runtime.library_path);
  size_t other = library.rfind(kOtherNames);
  if (other != library.npos) return base::slice(library, 0, other + 1);
  return base::slice(library, 0, library.size() - base::base_name(library).size());
}

void leaving_untracked(std::string_view program, elf::Obstacle obstacle) {
  const ledger::Header* header = track::g_tracker.writer ? &track::g_tracker.writer.header() : nullptr;
  bool is_own = track::g_fork_page.alive.load(std::memory_order_relaxed);
  if (!header || !is_own || launcher_is_there()) return;
  // No later image of the process would remove its ledger.
  if (g_runtime.ledger_path[0]) {
    remove_ledger_file(g_runtime.ledger_path);
    g_runtime.ledger_path[0] = '\0';  // should the exec fail, this process reports without
  }
  if (!g_settings.has_rules()) return;
  if (report::is_named(g_settings.allow_untracked, program)) return;
  base::FixedText<1100> line;
  line.add("unfreed: ");
  base::add_printable(line, program, 600);
  line.add(" replaces this process and is not tracked: ").add(elf::describe(obstacle));
  say(line.add("; rules cannot be checked for it (UNFREED_ALLOW_UNTRACKED accepts that)").text(), Line::verdict);
}

}  // namespace unfreed::runtime
