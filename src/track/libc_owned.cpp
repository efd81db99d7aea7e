#include "track/libc_owned.h"

#include <elf.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <string_view>

#include "track/modules.h"
#include "track/tracker.h"
#include "unwind/call_target.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/objects.h"

namespace unfreed::track {

namespace {

/// libc functions that keep memory for themselves. Those that return memory to the caller (strdup, getline, getaddrinfo
/// …) are not here, nor those that write to a stream, which may be the caller's open_memstream. Of those that convert
/// characters: how that is done in the locale is found out at the first one, and kept.
constexpr std::string_view kCachingFunctions[] = {
    // Functions to be called at the end.
    "__cxa_atexit", "__cxa_at_quick_exit", "on_exit", "__register_atfork",
    // The environment.
    "setenv", "unsetenv", "putenv", "clearenv",
    // Locales and messages.
    "setlocale", "bindtextdomain", "textdomain", "bind_textdomain_codeset", "gettext", "dgettext", "dcgettext",
    "ngettext", "dngettext", "dcngettext", "__dcgettext", "strerror", "strsignal", "strerror_l", "perror", "psignal",
    "psiginfo", "regerror", "gai_strerror", "hstrerror", "herror",
    // Time zones.
    "tzset", "localtime", "localtime_r", "gmtime", "gmtime_r", "timegm", "mktime", "timelocal", "strftime",
    "strftime_l", "__strftime_l", "wcsftime", "wcsftime_l", "strptime", "strptime_l", "ctime", "ctime_r",
    // Users, hosts, services and other names: what look-ups remember, and results that the next one overwrites.
    "getpwnam", "getpwuid", "getpwent", "getgrnam", "getgrgid", "getgrent", "getspnam", "getpwnam_r", "getpwent_r",
    "getpwuid_r", "getgrnam_r", "getgrent_r", "getspnam_r", "getspent_r", "getgrgid_r", "getgrouplist", "initgroups",
    "gethostbyname", "gethostbyname_r", "gethostbyname2", "gethostbyname2_r", "gethostbyaddr", "gethostbyaddr_r",
    "gethostent_r", "getnameinfo", "getservbyname", "getservbyname_r", "getservbyport", "getservbyport_r",
    "getservent_r", "getprotobyname", "getprotobyname_r", "getprotobynumber_r", "getprotoent_r", "getprotobynumber",
    "getnetbyname", "getnetbyname_r", "getnetbyaddr_r", "getnetent_r", "getnetbyaddr", "getrpcbyname", "getrpcbyname_r",
    "getrpcbynumber_r", "getrpcent_r", "getrpcbynumber", "getmntent", "getutent", "getutxent", "getservent",
    "getprotoent", "getnetent", "gethostent", "getrpcent", "getaliasent", "getaliasent_r", "getaliasbyname",
    "getaliasbyname_r", "setnetgrent", "getnetgrent", "getnetgrent_r", "innetgr", "__nss_configure_lookup", "getspent",
    "setpwent", "setgrent", "setspent", "sethostent", "setnetent", "setprotoent", "setservent", "setrpcent",
    "setaliasent", "setutent", "setutxent", "setfsent", "setttyent", "setusershell", "fgetpwent", "fgetgrent",
    "fgetspent", "getfsent", "getttyent", "getusershell", "ptsname", "getpass", "ttyname", "getlogin", "rpmatch",
    // How characters are converted.
    "btowc", "mblen", "mbrlen", "mbrtowc", "mbsnrtowcs", "mbsrtowcs", "mbstowcs", "mbtowc", "wcrtomb", "wcsnrtombs",
    "wcsrtombs", "wcstombs", "wctob", "wctomb", "__mbstowcs_chk", "__mbsrtowcs_chk", "__mbsnrtowcs_chk",
    "__wcstombs_chk", "__wcsrtombs_chk", "__wcsnrtombs_chk", "__wctomb_chk", "__wcrtomb_chk", "mbrtoc16", "mbrtoc32",
    "c16rtomb", "c32rtomb", "fwide", "fgetwc", "fgetwc_unlocked", "getwc", "getwc_unlocked", "getwchar",
    "getwchar_unlocked", "fgetws", "fgetws_unlocked", "__fgetws_chk", "__fgetws_unlocked_chk", "ungetwc", "swprintf",
    "vswprintf", "__swprintf_chk", "__vswprintf_chk",
    // The system's log.
    "openlog", "syslog", "vsyslog", "__syslog_chk", "__vsyslog_chk",
    // Loaded libraries.
    "dlopen", "dlmopen", "dlsym", "dlvsym", "dlclose", "dlerror", "dladdr", "backtrace",
    // Threads, and input and output in the background.
    "aio_read", "aio_read64", "aio_write", "aio_write64", "aio_fsync", "aio_fsync64", "lio_listio", "lio_listio64",
    "pthread_create", "pthread_setspecific", "pthread_key_create", "pthread_exit", "pthread_cancel",
    // A stream's buffer, which lives and dies with the stream; an unclosed stream is reported as a descriptor.
    "_IO_file_doallocate", "_IO_doallocbuf", "_IO_wdoallocbuf",
    // Everything before main.
    "__libc_start_main"};

/// Of those that give memory to the caller, the ones that programs call most. What they allocate needs no asking.
constexpr std::string_view kGivingFunctions[] = {"strdup", "__strdup", "strndup", "__strndup", "getcwd"};

/// What a function does with memory that it allocates.
enum class Habit : uint8_t { unknown, keeps, gives };

/// Where the functions of these lists are in one of libc's objects.
struct KnownCode {
  /// Distances from the object's start.
  struct Range {
    uint32_t start;
    uint32_t end;
    Habit habit;
  };
  // Most have one version; there is room for others.
  static constexpr size_t kMostRanges = std::size(kCachingFunctions) + std::size(kGivingFunctions) + 32;

  explicit constexpr KnownCode() = default;
  explicit KnownCode(const unwind::Object& object) : low(object.image.low), high(object.image.high) {
    unwind::DynamicSymbols symbols(object);
    for (std::string_view name : kCachingFunctions) add(object, symbols, name, Habit::keeps);
    for (std::string_view name : kGivingFunctions) add(object, symbols, name, Habit::gives);
    std::sort(ranges, ranges + count, [](const Range& a, const Range& b) { return a.start < b.start; });
  }
  void add(const unwind::Object& object, const unwind::DynamicSymbols& symbols, std::string_view name, Habit habit) {
    for (auto* symbol = symbols.find(name); symbol && count < kMostRanges; symbol = symbols.find(name, symbol)) {
      if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF) continue;
      auto start = static_cast<uint32_t>(object.bias + symbol->st_value - low);
      ranges[count++] = {start, start + static_cast<uint32_t>(symbol->st_size), habit};
    }
  }

  bool is_of_object_at(uintptr_t pc) const { return pc >= low && pc < high; }
  Habit at(uintptr_t pc) const {
    const Range* next =
        std::upper_bound(ranges, ranges + count, pc - low, [](uintptr_t at, const Range& r) { return at < r.start; });
    return next != ranges && pc - low < next[-1].end ? next[-1].habit : Habit::unknown;
  }

  uintptr_t low = 0;
  uintptr_t high = 0;
  size_t count = 0;
  Range ranges[kMostRanges]{};
};

/// Of the function of libc, or the hook, that `pc` lies in. Neither is ever unloaded, so their functions are looked up
/// once for each object. Where there is no room for that, they are looked up again each time.
Habit habit_at(uintptr_t pc) {
  enum State : uint8_t { kNone, kUnderWay, kDone };
  struct Known {
    std::atomic<uint8_t> state{kNone};
    KnownCode code;
  };
  static constinit Known all[6];  // the parts of libc, and this library
  for (const Known& known : all)
    if (known.state.load(std::memory_order_acquire) == kDone && known.code.is_of_object_at(pc))
      return known.code.at(pc);
  unwind::Object object;
  if (!unwind::find_object(pc, object)) return Habit::unknown;
  KnownCode code(object);
  for (Known& known : all) {
    uint8_t none = kNone;
    if (!known.state.compare_exchange_strong(none, kUnderWay, std::memory_order_relaxed)) continue;
    known.code = code;
    known.state.store(kDone, std::memory_order_release);
    break;
  }
  return code.at(pc);
}

bool is_kept_by(uintptr_t pc) { return habit_at(pc) == Habit::keeps; }

}  // namespace

std::span<const std::string_view> libc_caching_functions() { return kCachingFunctions; }

HeapOwner heap_owner(std::span<const unwind::Frame> frames, bool truncated) {
  if (frames.empty() || !is_system_module(frames[0].module)) return HeapOwner::program;
  // Nothing but language runtimes on the stack: their own start-up (libstdc++'s emergency pool, stream set-up …).
  bool only_system = true;
  for (const unwind::Frame& frame : frames) only_system = only_system && is_system_module(frame.module);
  if (only_system && !truncated) return HeapOwner::libc;
  if (!is_libc_module(frames[0].module)) return HeapOwner::program;
  if (is_loader_module(frames[0].module)) return HeapOwner::libc;
  bool is_called_by_program = !frames[0].is_owned && frames.size() > 1 && !is_system_module(frames[1].module);
  if (is_called_by_program && habit_at(frames[0].pc - 1) == Habit::gives) return HeapOwner::program;
  // Look for a function that keeps memory between the block and the program's frames. If the program called one that
  // ended in a tail call (as in setenv, localtime and gettext), the call instruction tells which it was.
  size_t last = 0;
  for (;; ++last) {
    if (frames[last].is_owned || is_kept_by(frames[last].pc - 1)) return HeapOwner::libc;
    // A frame interrupted by a signal has made no call.
    if (last + 1 == frames.size() || frames[last + 1].exact_pc) return HeapOwner::undecided;
    // A hook of ours bears the name of the function that it calls.
    if (!is_libc_module(frames[last + 1].module) && frames[last + 1].module != g_tracker.runtime_module) break;
  }
  uintptr_t called = unwind::call_target(frames[last + 1].pc);
  unwind::Object libc;
  bool is_in_libc =
      called && unwind::find_object(frames[last].pc - 1, libc) && called >= libc.image.low && called < libc.image.high;
  return is_in_libc && is_kept_by(called) ? HeapOwner::libc : HeapOwner::undecided;
}

}  // namespace unfreed::track
