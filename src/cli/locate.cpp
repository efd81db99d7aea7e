#include "cli/locate.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <filesystem>

#include "elf/preload.h"

namespace unfreed::cli {

std::string find_runtime(std::string& tried) {
  namespace fs = std::filesystem;
  std::error_code none;
  fs::path own = fs::read_symlink("/proc/self/exe", none);
  // Without /proc: the name it was started by and, if that is relative to a folder that is gone by now, the
  // configured path.
  auto* started = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  if (own.empty() && started) own = fs::canonical(started, none);
  fs::path folder = own.empty() ? fs::path(UNFREED_BINDIR) : own.parent_path();
  const fs::path candidates[] = {
      folder / "../runtime/libunfreed.so",  // the build tree
      folder / UNFREED_LIBDIR_FROM_BINDIR / "unfreed/libunfreed.so",
      folder / "../lib/unfreed/libunfreed.so",
      folder / "../lib64/unfreed/libunfreed.so",
  };
  for (const fs::path& candidate : candidates) {
    fs::path path = candidate.lexically_normal();
    if (access(path.c_str(), R_OK) == 0) return path.string();
    if (tried.find(path.string()) == std::string::npos) tried += (tried.empty() ? "" : ", ") + path.string();
  }
  return {};
}

std::string preload_name(const std::string& runtime) {
  std::string folder = runtime.substr(0, runtime.rfind('/') + 1) + "preload";
  return access(folder.c_str(), X_OK) == 0 ? folder + "/$LIB" + runtime.substr(runtime.rfind('/')) : runtime;
}

bool has_musl_library() {
  std::string tried;
  elf::Verdict verdict;
  verdict.obstacle = elf::Obstacle::musl;
  elf::accept_musl(preload_name(find_runtime(tried)), verdict);
  return verdict.obstacle == elf::Obstacle::none;
}

}  // namespace unfreed::cli
