#include "trace/process_files.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/live_thread.h"
#include "base/numbered_entries.h"
#include "base/process_stat.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::trace {

std::string ProcessFiles::read(const std::string& name) const {
  std::string text;
  int file = open((folder_ + name).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return text;
  char buffer[16 * 1024];
  for (ssize_t got; (got = ::read(file, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
  close(file);
  return text;
}

std::string ProcessFiles::link(const std::string& name) const {
  char target[PATH_MAX];
  ssize_t size = readlink((folder_ + name).c_str(), target, sizeof target);
  return {target, size > 0 ? static_cast<size_t>(size) : 0};
}

std::vector<int> ProcessFiles::numbers(const std::string& name) const {
  std::vector<int> found;
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir((folder_ + name).c_str()), &closedir);
  while (dirent* entry = folder ? readdir(folder.get()) : nullptr)
    if (int number = base::parse_id(entry->d_name); number >= 0) found.push_back(number);
  return found;
}

int ProcessFiles::status_number(std::string_view field) const {
  std::string status = read("status");
  size_t at = status.find("\n" + std::string(field) + ":\t");
  if (at == status.npos) return 0;
  uint64_t number = 0;
  std::string_view rest = base::slice(status, at + field.size() + 3);
  base::take_number(rest, number);
  return static_cast<int>(number);
}

std::vector<int> ProcessFiles::children() const {
  std::string_view own = base::base_name(std::string_view(folder_).substr(0, folder_.size() - 1));
  std::string text = read("task/" + std::string(own) + "/children");
  std::vector<int> pids;
  base::each_id(text, [&](int pid) { pids.push_back(pid); });
  return pids;
}

int ProcessFiles::parent() const { return status_number("PPid"); }
int ProcessFiles::process() const { return status_number("Tgid"); }
int ProcessFiles::tracer() const { return status_number("TracerPid"); }
unsigned ProcessFiles::user() const { return static_cast<unsigned>(status_number("Uid")); }

uint64_t ProcessFiles::start_ticks() const { return base::read_process_stat((folder_ + "stat").c_str()).start_ticks; }

uint64_t ProcessFiles::started_realtime_ns() const {
  constexpr uint64_t kSecond = 1'000'000'000;
  constexpr std::string_view kBoot = "\nbtime ";
  std::string machine = read("../stat");
  size_t at = machine.find(kBoot);
  uint64_t boot = at == machine.npos ? 0 : std::strtoull(machine.c_str() + at + kBoot.size(), nullptr, 10);
  return boot * kSecond + start_ticks() * (kSecond / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

bool ProcessFiles::is_waiting() const {
  char state = base::read_process_stat((folder_ + "stat").c_str()).state;
  return state == 'S' || state == 'D';
}

bool ProcessFiles::has_ended() const {
  base::ProcessStat stat = base::read_process_stat((folder_ + "stat").c_str());
  return stat.is_gone || stat.has_ended();
}

std::string ProcessFiles::name_as_started() const {
  std::string vector = read("auxv");
  for (size_t at = 0; at + sizeof(Elf64_auxv_t) <= vector.size(); at += sizeof(Elf64_auxv_t)) {
    Elf64_auxv_t entry;
    std::memcpy(&entry, vector.data() + at, sizeof entry);
    if (entry.a_type != AT_EXECFN) continue;
    char name[PATH_MAX] = "";
    base::copy_memory(tid_, entry.a_un.a_val, name, sizeof name - 1);
    std::string_view path(name);
    return path.starts_with("/proc/") || path.starts_with("/dev/fd/") ? "" : std::string(base::base_name(path));
  }
  return {};
}

std::string ProcessFiles::variable(std::string_view name) const {
  std::string environment = read("environ");
  std::string wanted = std::string(name) + "=";
  for (size_t at = 0; at < environment.size();) {
    std::string_view entry(environment.c_str() + at);
    if (entry.starts_with(wanted)) return std::string(entry.substr(wanted.size()));
    at += entry.size() + 1;
  }
  return {};
}

uint64_t ticks_of(uint64_t nanoseconds) {
  return nanoseconds / (1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

ProcessIdentity identify(int pid) {
  ProcessFiles files(pid);
  ProcessIdentity identity;
  // Of a main thread that has ended the kernel names none of these.
  ProcessFiles shown(files.link("exe").empty() ? base::live_thread(pid) : pid);
  identity.exe = shown.link("exe");
  identity.arguments = shown.read("cmdline");
  identity.directory = shown.link("cwd");
  identity.program = shown.name_as_started();
  if (identity.program.empty()) identity.program = base::base_name(identity.exe);
  identity.parent = files.parent();
  identity.user = files.user();
  identity.start_ticks = files.start_ticks();
  return identity;
}

ProcessBeginning held_by(int pid) {
  ProcessBeginning held;
  held.open = ProcessFiles(pid).numbers("fd");
  for (int tid : ProcessFiles(pid).numbers("task"))
    for (int child : ProcessFiles(tid).children()) held.children.push_back(child);
  return held;
}

ProcessBeginning beginning_of(int pid) { return {identify(pid), ProcessFiles(pid).numbers("fd"), {}}; }

}  // namespace unfreed::trace
