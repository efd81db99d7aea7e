#include "track/libc_owned.h"

#include <elf.h>
#include <link.h>

#include <atomic>
#include <string_view>

#include "track/modules.h"
#include "track/tracker.h"
#include "unwind/objects.h"

namespace unfreed::track {

namespace {

/// libc functions that keep memory for themselves. Those that return memory to the caller (strdup, getline, getaddrinfo
/// …) are not here.
constexpr std::string_view kKeepers[] = {
    "__cxa_atexit",
    "__cxa_at_quick_exit",
    "on_exit",
    "__new_exitfn",
    "setenv",
    "unsetenv",
    "putenv",
    "clearenv",
    "setlocale",
    "__localeconv",
    "bindtextdomain",
    "textdomain",
    "bind_textdomain_codeset",
    "gettext",
    "dgettext",
    "dcgettext",
    "ngettext",
    "dngettext",
    "dcngettext",
    "__dcgettext",
    "tzset",
    "localtime",
    "localtime_r",
    "__localtime_r",
    "localtime64",
    "mktime",
    "timelocal",
    "strftime",
    "strftime_l",
    "__strftime_l",
    "ctime",
    "ctime_r",
    "getpwnam",
    "getpwuid",
    "getpwent",
    "getgrnam",
    "getgrgid",
    "getgrent",
    "getspnam",
    "getpwnam_r",
    "getpwuid_r",
    "getgrnam_r",
    "getgrgid_r",
    "getgrouplist",
    "initgroups",
    "gethostbyname",
    "gethostbyaddr",
    "getservbyname",
    "getservbyport",
    "getprotobyname",
    "getmntent",
    "getutent",
    "getutxent",
    "getservent",
    "getprotoent",
    "getnetent",
    "gethostent",
    "getrpcent",
    "getaliasent",
    "getspent",
    "fgetpwent",
    "fgetgrent",
    "fgetspent",
    "getfsent",
    "getttyent",
    "getusershell",
    "ptsname",
    "openlog",
    "syslog",
    "vsyslog",
    "__syslog_chk",
    "__vsyslog_chk",
    "dlopen",
    "dlsym",
    "dlvsym",
    "dlclose",
    "dlerror",
    "dladdr",
    "strerror",
    "strsignal",
    "strerror_l",
    "perror",
    "getpass",
    "ttyname",
    "getlogin",
    "pthread_create",
    "pthread_setspecific",
    "pthread_key_create",
    "pthread_atfork",
    "__register_atfork",
    "pthread_exit",
    "pthread_cancel",
    "backtrace",
    "__libc_start_main",
};

bool is_keeper(std::string_view name) {
  // A stream's buffer lives and dies with the stream, and an unclosed stream is reported as a descriptor.
  if (name == "_IO_file_doallocate" || name == "_IO_wfile_doallocate") return true;
  for (std::string_view keeper : kKeepers)
    if (name == keeper) return true;
  return false;
}

/// The exported symbol that contains `pc`, from the object's dynamic symbol table; "" if none does.
std::string_view enclosing_symbol(uintptr_t pc) {
  unwind::Object object;
  if (!unwind::find_object(pc, object)) return {};
  auto* header = reinterpret_cast<const ElfW(Ehdr)*>(object.image.low);
  auto* segments = reinterpret_cast<const ElfW(Phdr)*>(object.image.low + header->e_phoff);
  const ElfW(Dyn)* dynamic = nullptr;
  for (int i = 0; i < header->e_phnum; ++i)
    if (segments[i].p_type == PT_DYNAMIC)
      dynamic = reinterpret_cast<const ElfW(Dyn)*>(object.bias + segments[i].p_vaddr);
  const ElfW(Sym)* symbols = nullptr;
  const char* names = nullptr;
  const uint32_t* hash = nullptr;
  for (; dynamic && dynamic->d_tag != DT_NULL; ++dynamic) {
    if (dynamic->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_GNU_HASH) hash = reinterpret_cast<const uint32_t*>(dynamic->d_un.d_ptr);
  }
  if (!symbols || !names || !hash) return {};
  // The GNU hash table does not say how many symbols there are: they end with the last chain.
  uint32_t bucket_count = hash[0], first = hash[1], bloom_words = hash[2];
  auto* buckets = reinterpret_cast<const uint32_t*>(reinterpret_cast<const ElfW(Addr)*>(hash + 4) + bloom_words);
  const uint32_t* chains = buckets + bucket_count;
  uintptr_t offset = pc - object.bias;
  for (uint32_t bucket = 0; bucket < bucket_count; ++bucket) {
    uint32_t index = buckets[bucket];
    if (index < first) continue;
    for (;; ++index) {
      const ElfW(Sym)& symbol = symbols[index];
      bool code = ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF;
      if (code && offset >= symbol.st_value && offset - symbol.st_value < symbol.st_size) return names + symbol.st_name;
      if (chains[index - first] & 1) break;
    }
  }
  return {};
}

/// Does the libc function that `pc` lies in keep memory for itself? libc stays where it is, and few of its places take
/// blocks: answers are remembered.
bool is_kept_by(uintptr_t pc) {
  constexpr size_t kAnswers = 256;
  static std::atomic<uint64_t> answers[kAnswers];  // twice the pc, plus the answer
  std::atomic<uint64_t>& answer = answers[(pc ^ pc >> 8) % kAnswers];
  uint64_t known = answer.load(std::memory_order_relaxed);
  if (known >> 1 == pc) return known & 1;
  bool keeps = is_keeper(enclosing_symbol(pc));
  answer.store(uint64_t{pc} << 1 | keeps, std::memory_order_relaxed);
  return keeps;
}

}  // namespace

bool is_libc_owned(std::span<const unwind::Frame> frames, bool truncated) {
  if (frames.empty() || !is_system_module(frames[0].module)) return false;
  // Nothing but language runtimes on the stack: their own start-up (libstdc++'s emergency pool, stream set-up …).
  bool only_system = true;
  for (const unwind::Frame& frame : frames) only_system = only_system && is_system_module(frame.module);
  if (only_system && !truncated) return true;
  if (!is_libc_module(frames[0].module)) return false;
  if (is_loader_module(frames[0].module)) return true;
  // What the program called is the outermost of the consecutive libc frames; the innermost tells stream buffers.
  size_t last = 0;
  while (last + 1 < frames.size() && is_libc_module(frames[last + 1].module)) ++last;
  return is_kept_by(frames[0].pc - 1) || (last > 0 && is_kept_by(frames[last].pc - 1));
}

}  // namespace unfreed::track
