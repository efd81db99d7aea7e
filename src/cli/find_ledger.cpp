#include "cli/find_ledger.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/mapping_line.h"

namespace unfreed::cli {

std::vector<unsigned> status_numbers(int pid, std::string_view key) {
  std::vector<unsigned> numbers;
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(key)) continue;
    std::istringstream values(line.substr(key.size()));
    for (unsigned value; values >> value;) numbers.push_back(value);
  }
  return numbers;
}

namespace {

using base::MappingLine;

/// Does a file of that name hold the ledger of this process? Its number is that in its own pid namespace.
bool is_named_for(int pid, const std::string& path) {
  ledger::FileName name;
  std::vector<unsigned> numbers = status_numbers(pid, "NSpid:");
  int own = numbers.empty() ? pid : static_cast<int>(numbers.back());
  return ledger::parse_file_name(base::base_name(path), name) && !name.done && !name.is_library && name.pid == own;
}

/// Opens the file with O_PATH first: that has no effect, whatever the file is.
OpenLedger open_mapped(const std::string& path, const MappingLine& mapped, const std::vector<unsigned>& users) {
  base::UniqueFd place(base::open_file(path.c_str(), O_PATH));
  struct stat status {};
  if (!place || fstat(place.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_ino != mapped.inode)
    return {};
  bool is_believable = status.st_uid == 0 || status.st_uid == geteuid() ||
                       std::find(users.begin(), users.end(), status.st_uid) != users.end();
  if (!is_believable) return {};
  std::string opened = fmt::format("/proc/self/fd/{}", place.get());
  return {base::UniqueFd(base::open_file(opened.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY)), status.st_uid};
}

FoundLedger find_mapped(int pid) {
  std::vector<unsigned> users = users_of(pid);
  std::ifstream maps(process_folder(pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    MappingLine mapped;
    bool is_shared_file = base::parse_mapping_line(line, mapped) && mapped.shared && mapped.name.starts_with('/');
    std::string named(mapped.name);
    if (!is_shared_file || !is_named_for(pid, named)) continue;
    // The mapping itself, for root; its path; its path in the container that the process runs in.
    for (const std::string& path : {fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, mapped.low, mapped.high), named,
                                    fmt::format("/proc/{}/root{}", pid, named)}) {
      OpenLedger open = open_mapped(path, mapped, users);
      if (open.file) return {std::move(open), named};
    }
  }
  return {};
}

/// Where the process's memory map may not be read.
FoundLedger find_named(int pid) {
  FoundLedger found;
  for (const LedgerFile& file : list_ledgers(list_own_folders(ledger_directory()))) {
    bool is_wanted = file.name.pid == pid && file.name.pid_namespace == ledger::own_pid_namespace() && !file.name.done;
    if (!is_wanted || !has_process(file, read_ledger_facts(file))) continue;
    OpenLedger open = open_ledger(file);
    if (open.file) found = {std::move(open), file.path()};
  }
  return found;
}

}  // namespace

FoundLedger find_ledger(int pid) {
  FoundLedger found = find_mapped(pid);
  return found.open.file ? std::move(found) : find_named(pid);
}

std::vector<unsigned> users_of(int pid) { return status_numbers(pid, "Uid:"); }

}  // namespace unfreed::cli
