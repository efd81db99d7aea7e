#include "elf/program.h"

#include <elf.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <iterator>

#include "arch/machine.h"
#include "base/text.h"

namespace unfreed::elf {

namespace {

struct SanitizerSign {
  Sanitizer sanitizer;
  std::string_view name;
  std::string_view library;        ///< gcc's
  std::string_view clang_library;  ///< with -shared-libasan
  std::string_view symbol;         ///< where it is linked in
};
constexpr SanitizerSign kSanitizers[] = {
    {Sanitizer::address, "AddressSanitizer", "libasan.so", "libclang_rt.asan", "__asan_init"},
    {Sanitizer::leak, "LeakSanitizer", "liblsan.so", "libclang_rt.lsan", "__lsan_init"},
    {Sanitizer::thread, "ThreadSanitizer", "libtsan.so", "libclang_rt.tsan", "__tsan_init"},
    {Sanitizer::memory, "MemorySanitizer", "libmsan.so", "libclang_rt.msan", "__msan_init"},
};

/// What an allocator says when something is wrong is in every copy of it, whatever its functions are called, stripped
/// or not.
struct AllocatorSign {
  std::string_view name;
  std::string_view says;
  size_t mark;  ///< where in `says` kMark lies
};
/// A character that constant data has seldom, for a search that takes little longer than reading.
constexpr char kMark = ':';
constexpr AllocatorSign sign_of(std::string_view name, std::string_view says) { return {name, says, says.find(kMark)}; }
constexpr AllocatorSign kAllocators[] = {
    sign_of("jemalloc", "<jemalloc>: "),
    sign_of("mimalloc", "mimalloc: warning: "),
};

template <size_t kBytes>
void copy_text(std::string_view from, char (&to)[kBytes]) {
  base::TextBuilder(std::span<char>(to, kBytes)).add(from);
}

Loader loader_named(std::string_view interpreter) {
  std::string_view name = base::base_name(interpreter);
  if (name.find("ld-musl") != name.npos) return Loader::musl;
  return name.find("ld-linux") != name.npos ? Loader::glibc : Loader::other;
}

/// A loader under another name: by the libc that the program needs.
Loader loader_by_libc(const Dynamic& dynamic) {
  Loader loader = Loader::other;
  dynamic.any_needed([&](std::string_view library) {
    if (library == "libc.so.6") loader = Loader::glibc;
    if (library == "libc.so" || library.starts_with("libc.musl-")) loader = Loader::musl;
    return loader != Loader::other;
  });
  return loader;
}

/// A loader that is executed itself, with the program as its argument, has no loader.
Loader loader_that_is(const Dynamic& dynamic) {
  char own_name[64];
  if (dynamic.own_name(own_name).starts_with("ld-linux")) return Loader::glibc;
  return dynamic.exports("__dls3") ? Loader::musl : Loader::none;
}

void find_loader(const File& file, const Dynamic& dynamic, Program& out) {
  Segment segment;
  if (!file.find_segment(PT_INTERP, segment)) {
    out.loader = dynamic && file.type() == ET_DYN ? loader_that_is(dynamic) : Loader::none;
    out.is_loader = out.loader != Loader::none;
    return;
  }
  file.text({segment.offset, segment.file_bytes}, 0, out.interpreter);
  out.interpreter[sizeof out.interpreter - 1] = '\0';
  out.loader = loader_named(out.interpreter);
  if (out.loader == Loader::other) out.loader = loader_by_libc(dynamic);
}

void find_libraries(const Dynamic& dynamic, Program& out) {
  dynamic.any_needed([&](std::string_view library) {
    for (const SanitizerSign& sign : kSanitizers) {
      if (out.sanitizer != Sanitizer::none) break;
      if (!library.starts_with(sign.library) && !library.starts_with(sign.clang_library)) continue;
      out.sanitizer = sign.sanitizer;
      copy_text(library, out.sanitizer_library);
    }
    if (std::string_view allocator = allocator_library(library); !allocator.empty()) out.shared_allocator = allocator;
    return false;
  });
}

bool is_go(const File& file, Depth depth) {
  constexpr uint32_t kBuildId = 4;
  Range value;
  if (file.find_note("Go", kBuildId, value)) return true;
  return depth == Depth::whole && (file.has_section(".go.buildinfo") || file.has_section(".gopclntab"));
}

/// Which of the signs lies in `text`: its name, or "".
std::string_view find_allocator_in(std::string_view text) {
  for (size_t at = text.find(kMark); at != text.npos; at = text.find(kMark, at + 1))
    for (const AllocatorSign& sign : kAllocators)
      if (at >= sign.mark && base::slice(text, at - sign.mark).starts_with(sign.says)) return sign.name;
  return {};
}

/// Which of the signs lies in this piece of the file; kMostBytes of it are looked at.
std::string_view find_allocator_in(const Bytes& bytes, Range range) {
  constexpr uint64_t kMostBytes = uint64_t{1} << 28;
  constexpr size_t kOverlap = 32;  // a sign may lie across two pieces
  char piece[16 * 1024 + kOverlap];
  uint64_t end = range.offset + std::min(range.bytes, kMostBytes);
  size_t kept = 0;
  for (uint64_t at = range.offset; at < end;) {
    auto size = static_cast<size_t>(std::min<uint64_t>(sizeof piece - kept, end - at));
    if (!bytes.read(at, piece + kept, size)) return {};
    std::string_view found = find_allocator_in({piece, kept + size});
    if (!found.empty()) return found;
    at += size;
    size_t total = kept + size;
    kept = std::min(total, kOverlap);
    std::memmove(piece, piece + total - kept, kept);
  }
  return {};
}

std::string_view find_inner_allocator(const File& file) {
  Section section;
  if (file.find_section(".rodata", section)) return find_allocator_in(file.bytes(), {section.offset, section.bytes});
  Segment segment;
  for (uint32_t index = 0; index < file.segment_count(); ++index) {
    if (!file.segment(index, segment) || segment.type != PT_LOAD || segment.flags & PF_W) continue;
    Range range{segment.offset, segment.file_bytes};
    std::string_view found = file.is_inside(range) ? find_allocator_in(file.bytes(), range) : std::string_view();
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace

std::string_view name_of(Sanitizer sanitizer) {
  for (const SanitizerSign& sign : kSanitizers)
    if (sign.sanitizer == sanitizer) return sign.name;
  return {};
}

bool is_sanitizer_library(std::string_view library) {
  std::string_view name = base::base_name(library);
  return std::any_of(std::begin(kSanitizers), std::end(kSanitizers), [&](const SanitizerSign& sign) {
    return name.starts_with(sign.library) || name.starts_with(sign.clang_library);
  });
}

bool Program::must_come_first() const { return sanitizer == Sanitizer::address && sanitizer_library[0]; }

bool is_go_program(const Bytes& bytes) {
  File file;
  return !file.open(bytes) && is_go(file, Depth::start);
}

const char* read_program(const Bytes& bytes, Depth depth, Program& out) {
  out = Program();
  File file;
  if (const char* problem = file.open(bytes)) return problem;
  out.is_64_bit = file.is_64_bit();
  out.machine = file.machine();
  Dynamic dynamic(file);
  find_loader(file, dynamic, out);
  if (out.loader == Loader::none || depth == Depth::whole) out.is_go = is_go(file, depth);
  if (out.loader != Loader::none) find_libraries(dynamic, out);
  if (depth == Depth::start) return nullptr;
  for (const SanitizerSign& sign : kSanitizers)
    if (out.sanitizer == Sanitizer::none && dynamic.exports(sign.symbol)) out.sanitizer = sign.sanitizer;
  out.exports_malloc = out.loader != Loader::none && dynamic.exports("malloc");
  out.inner_allocator = find_inner_allocator(file);
  return nullptr;
}

bool read_script(const Bytes& bytes, std::span<char> interpreter, std::span<char> argument) {
  char start[256];  // as far as the kernel looks
  auto size = static_cast<size_t>(std::min<uint64_t>(bytes.size(), sizeof start));
  if (size < 3 || !bytes.read(0, start, size) || start[0] != '#' || start[1] != '!') return false;
  std::string_view line = base::slice({start, size}, 2);
  line = base::slice(line, 0, line.find('\n'));
  constexpr std::string_view kBlanks = " \t";
  auto skip_blanks = [&] { line = base::slice(line, std::min(line.find_first_not_of(kBlanks), line.size())); };
  skip_blanks();
  size_t end = std::min(line.find_first_of(kBlanks), line.size());
  base::TextBuilder(interpreter).add(base::slice(line, 0, end));
  line = base::slice(line, end);
  skip_blanks();
  while (!line.empty() && kBlanks.find(line.back()) != kBlanks.npos) line.remove_suffix(1);
  base::TextBuilder(argument).add(line);
  return end > 0;
}

Obstacle obstacle_of(const Program& program) {
  if (!program.is_64_bit || program.machine != arch::kElfMachine) return Obstacle::other_processor;
  switch (program.loader) {
    case Loader::none:
      return program.is_go ? Obstacle::static_go : Obstacle::static_program;
    case Loader::musl:
      return Obstacle::musl;
    case Loader::other:
      return Obstacle::foreign_loader;
    case Loader::glibc:
      return Obstacle::none;
  }
  return Obstacle::none;
}

namespace {
struct Ids {
  uint32_t real, effective, saved;
};
Ids ids_by(long call) {
  Ids ids{};
  base::raw_syscall(call, reinterpret_cast<long>(&ids.real), reinterpret_cast<long>(&ids.effective),
                    reinterpret_cast<long>(&ids.saved));
  return ids;
}

/// The kernel does not honour a file's set-id bits and capabilities everywhere.
bool grants_privileges(long file) {
  struct statfs system {};
  if (base::raw_syscall(SYS_fstatfs, file, reinterpret_cast<long>(&system)) == 0 && system.f_flags & ST_NOSUID)
    return false;
  return base::raw_syscall(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
}
}  // namespace

// As cap_bprm_creds_from_file() in Linux's security/commoncap.c decides.
Obstacle privilege_of(const base::RegularFile& file) {
  Ids user = ids_by(SYS_getresuid), group = ids_by(SYS_getresgid);
  if (user.effective != user.real || group.effective != group.real) return Obstacle::changed_ids;
  constexpr mode_t kSetGid = S_ISGID | S_IXGRP;  // without the latter it means something else
  bool sets_user = file.mode & S_ISUID && file.uid != user.real;
  bool sets_group = (file.mode & kSetGid) == kSetGid && file.gid != group.real;
  constexpr char kAttribute[] = "security.capability";
  bool has_capabilities =
      user.real != 0 && base::raw_syscall(SYS_fgetxattr, file.fd, reinterpret_cast<long>(kAttribute), 0, 0) > 0;
  if (!(sets_user || sets_group || has_capabilities) || !grants_privileges(file.fd)) return Obstacle::none;
  return sets_user ? Obstacle::set_uid : sets_group ? Obstacle::set_gid : Obstacle::capabilities;
}

}  // namespace unfreed::elf
