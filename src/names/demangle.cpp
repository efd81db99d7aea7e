#include "names/demangle.h"

#define HAVE_DECL_BASENAME 1  // libiberty.h would declare it otherwise than <string.h> does
#include <libiberty/demangle.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace unfreed::report {

namespace {

/// What compilers and linkers append to a function's name when they clone or split it; it changes from build to build.
constexpr std::string_view kCloneSuffixes[] = {".constprop.", ".isra.", ".part.",      ".cold",
                                               ".lto_priv.",  ".llvm.", ".localalias", ".clone."};

/// Recursion in the demanglers is limited to 1024 levels of up to 1 kB in what they print and, in C++'s names, to the
/// name's length in what they read. C++'s two arrays for template arguments and their scopes take 4/3 of the square of
/// the length at most: names that come near that can be made, but not by programming.
constexpr size_t kSmallStack = 4 << 20;
constexpr size_t kLargeStack = 32 << 20;
/// Names up to here do with a small stack; what libiberty takes without being asked.
constexpr size_t kOrdinaryName = 1024;

constexpr int kOptions = DMGL_PARAMS | DMGL_ANSI;

/// The demangler that runs, for the functions that libiberty allocates with.
Demangler* g_demangling;

}  // namespace

std::string_view without_clone_suffix(std::string_view linkage_name) {
  for (size_t at = 1; at < linkage_name.size(); ++at) {
    // Two dots are "::" in a legacy name of Rust: core..clone..Clone.
    if (linkage_name[at] != '.' || linkage_name[at - 1] == '.') continue;
    for (std::string_view suffix : kCloneSuffixes)
      if (base::slice(linkage_name, at, suffix.size()) == suffix) return base::slice(linkage_name, 0, at);
  }
  return linkage_name;
}

bool is_mangled(std::string_view name) { return name.starts_with("_Z") || name.starts_with("_R"); }

DemangledName Demangler::demangle(std::string_view linkage_name) {
  std::string_view name = without_clone_suffix(linkage_name);
  // A NUL inside would end it for libiberty, but not for us.
  if (!is_mangled(name) || name.size() > kLongestName || name.find('\0') != name.npos) return {name};
  bool may_be_cpp = name[1] == 'Z';
  if (may_be_cpp && name.size() > kLongestCppName) return {name};
  uint64_t hash = given_up_count_ ? base::hash_text(name) : 0;
  if (given_up_count_ && has_given_up(hash)) return {name};
  if (!call_.reserve(may_be_cpp && name.size() > kOrdinaryName ? kLargeStack : kSmallStack)) return {name};
  std::memcpy(name_, name.data(), name.size());
  name_[name.size()] = '\0';
  name_size_ = name.size();
  is_too_long_ = false;
  g_demangling = this;
  bool has_ended = call_.run(run, this);
  g_demangling = nullptr;
  // One whose text is too long is soon stopped.
  if (!has_ended && !is_too_long_) given_up_[given_up_count_++] = base::hash_text(name);
  if (!has_ended || language_ == Language::unknown || text_size_ == 0) return {name};
  return {{text_, text_size_}, language_};
}

bool Demangler::has_given_up(uint64_t name_hash) const {
  if (given_up_count_ == kMostGivenUp) return true;
  return std::find(given_up_, given_up_ + given_up_count_, name_hash) != given_up_ + given_up_count_;
}

void Demangler::begin(Language language) {
  language_ = language;
  text_size_ = 0;
  arena_used_ = 0;
}

// On the stack of call_.
void Demangler::run(void* self) {
  auto& demangler = *static_cast<Demangler*>(self);
  // Legacy names of Rust are C++ names, too, that end in a hash.
  demangler.begin(Language::rust);
  if (rust_demangle_callback(demangler.name_, kOptions, append, self)) return;
  demangler.begin(Language::cpp);
  int options = kOptions | (demangler.name_size_ > kOrdinaryName ? DMGL_NO_RECURSE_LIMIT : 0);
  if (demangler.name_[1] == 'Z' && cplus_demangle_v3_callback(demangler.name_, options, append, self)) return;
  demangler.begin(Language::unknown);
}

[[gnu::no_sanitize_address]] void Demangler::append(const char* text, size_t size, void* self) {
  auto& demangler = *static_cast<Demangler*>(self);
  if (size > kLongestText - demangler.text_size_) {
    demangler.is_too_long_ = true;
    demangler.call_.stop();
  }
  std::memcpy(demangler.text_ + demangler.text_size_, text, size);
  demangler.text_size_ += size;
}

void* Demangler::allocate(size_t bytes) {
  Demangler* demangler = g_demangling;
  constexpr size_t kAlignment = 16;
  if (!demangler || bytes > sizeof demangler->arena_) return nullptr;
  size_t size = (bytes + kAlignment - 1) & ~(kAlignment - 1);
  if (size > sizeof demangler->arena_ - demangler->arena_used_) return nullptr;
  void* memory = demangler->arena_ + demangler->arena_used_;
  demangler->arena_used_ += size;
  return memory;
}

}  // namespace unfreed::report

// What malloc, realloc and free are called in our copy of libiberty (meson.build). A block's size stands before it.
extern "C" {

namespace {
constexpr size_t kHeaderBytes = 16;
}

void* unfreed_demangler_malloc(size_t bytes) {
  constexpr size_t kMost = SIZE_MAX - kHeaderBytes;
  auto* memory = bytes > kMost ? nullptr : unfreed::report::Demangler::allocate(bytes + kHeaderBytes);
  if (!memory) return nullptr;
  std::memcpy(memory, &bytes, sizeof bytes);
  return static_cast<std::byte*>(memory) + kHeaderBytes;
}

void unfreed_demangler_free(void*) {}

void* unfreed_demangler_realloc(void* old, size_t bytes) {
  void* memory = unfreed_demangler_malloc(bytes);
  if (!memory || !old) return memory;
  size_t old_bytes = 0;
  std::memcpy(&old_bytes, static_cast<std::byte*>(old) - kHeaderBytes, sizeof old_bytes);
  std::memcpy(memory, old, std::min(old_bytes, bytes));
  return memory;
}
}
