#include "symbolize/symbolizer.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/address_space.h"
#include "elf/opened.h"
#include "names/code_owner.h"
#include "symbolize/plain_name.h"

namespace unfreed::symbolize {

namespace {
/// Modules without a file of their own: "[vdso]", and objects that were only ever in memory.
bool has_file(std::string_view path) { return path.starts_with('/') && !path.starts_with("/memfd:"); }

bool exists(const std::string& path) { return access(path.c_str(), R_OK) == 0; }

std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string build_id_of(const elf::File& file) {
  char id[64];
  return {id, file.build_id(id)};
}
}  // namespace

SymbolFile::SymbolFile(const std::string& path) {
  bytes_ = base::map_regular_file(path.c_str(), elf::kMostObjectBytes);
  if (bytes_.empty() || !symbols_.open(bytes_)) return;
  index_.resize(symbols_.index_words());
  symbols_.build_index(index_);
}

SymbolFile::~SymbolFile() {
  if (!bytes_.empty()) base::unmap_memory(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Module::Module(std::string path, std::string build_id, const Options& options, report::FunctionNames& names,
               Debuginfod& servers)
    : path_(std::move(path)), build_id_(std::move(build_id)), options_(options), names_(names), servers_(servers) {}

Module::~Module() = default;

/// Is `path` the file that ran? Leaves the reason in problem_ where it is not.
bool Module::is_same_file(const std::string& path) {
  elf::Opened opened(path.c_str());
  elf::Bytes bytes = opened.bytes();
  elf::File file;
  const char* fault = opened ? file.open(bytes) : nullptr;
  if (!opened || fault) {
    base::FixedText<64> why;
    base::add_problem(why, fault ? base::FileProblem{fault} : opened.problem());
    problem_ = "cannot be read (" + std::string(why.text()) + ")";
    return false;
  }
  std::string build_id = build_id_of(file);
  if (!build_id_.empty() && build_id != build_id_) {
    problem_ = "has changed since the program ran (build ID " + (build_id.empty() ? "none" : to_hex(build_id)) +
               ", was " + to_hex(build_id_) + ")";
    return false;
  }
  has_debug_ = has_debug_information(path, file);
  return true;
}

void Module::locate() {
  located_ = true;
  if (!has_file(path_)) return;
  std::string rooted = options_.root + path_;
  if (is_same_file(rooted))
    file_ = rooted;
  else if (rooted != path_ && is_same_file(path_))
    file_ = path_;
  else if (std::string fetched = servers_.find("executable", to_hex(build_id_));
           !fetched.empty() && is_same_file(fetched))
    file_ = fetched;
  if (!file_.empty()) problem_.clear();
  if (!servers_.problem().empty())
    problem_.append(problem_.empty() ? "has no debug information here; " : "; ").append(servers_.problem());
}

/// Is there anything for libdw to read? Most programs of a distribution have neither debug information nor separate
/// files of it installed: for them libdw is not even loaded.
bool Module::has_debug_information(const std::string& path, const elf::File& file) {
  if (file.has_debug_info() || file.has_section(".gnu_debugdata")) return true;
  std::string id = to_hex(build_id_of(file));
  char link[256];
  std::string debug_link(file.debug_link(link));
  std::string folder = path.substr(0, path.rfind('/') + 1);
  std::string_view directories = options_.debug_directories;
  while (!directories.empty()) {
    size_t end = std::min(directories.find(':'), directories.size());
    std::string directory(directories.substr(0, end));
    directories.remove_prefix(std::min(end + 1, directories.size()));
    bool is_absolute = directory.starts_with('/');
    if (is_absolute && id.size() > 2) {
      std::string by_id = directory + "/.build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug";
      if (exists(by_id)) {
        debug_file_ = by_id;
        return true;
      }
    }
    if (debug_link.empty()) continue;
    std::string beside = is_absolute ? directory + folder : folder + directory + "/";
    if (exists(beside + debug_link)) return true;
  }
  if (!debug_link.empty() && exists(folder + debug_link)) return true;
  debug_file_ = fetched_debug_file_ = servers_.find("debuginfo", id);
  return !debug_file_.empty();
}

void Module::read_names() {
  read_ = true;
  if (!located_) locate();
  if (file_.empty()) return;
  symbols_ = std::make_unique<SymbolFile>(file_);
  elf::Opened opened(file_.c_str());
  elf::Bytes bytes = opened.bytes();
  elf::File file;
  if (opened && !file.open(bytes)) go_ = GoLines::open(file);
}

/// The name by the symbol table of the separate debug information; "" where it is not there.
std::string_view Module::debug_symbol(uint64_t address) {
  if (debug_file_.empty()) return {};
  if (!debug_symbols_) debug_symbols_ = std::make_unique<SymbolFile>(debug_file_);
  return debug_symbols_->find(address);
}

void Module::read_debug_information() {
  if (debug_ || !has_debug_) return;
  has_debug_ = false;  // asked for once
  // A limit on the command (ulimit -v) is this process's, too, and libdw does not survive to be without memory. A
  // library's debug information, unpacked, takes some tens of megabytes.
  constexpr size_t kRoom = size_t{160} << 20;
  if (base::free_address_space() < kRoom) {
    problem_ = "has no source lines here (the limit on the address space leaves no room for debug information)";
    return;
  }
  std::string error;
  const Libdw* libdw = Libdw::get(&error);
  if (libdw) debug_ = DwarfModule::open(*libdw, file_, options_.debug_directories, fetched_debug_file_, error);
  if (!debug_) problem_ = "has no source lines here (" + error + ")";
}

std::vector<SourceFrame> Module::look_up(uint64_t address) {
  std::vector<SourceFrame> frames;
  uint64_t distance = 0;
  // Go's own tables say more than its debug information, whose inlined calls stand at wrong lines where cgo was used.
  std::string_view symbol = go_ ? go_->find(address, &distance) : std::string_view();
  bool is_go = !symbol.empty();
  if (!is_go) symbol = symbols_->find(address, &distance);
  // Every stack ends in start code, whose lines are of no use, and for which libc's whole debug information
  // would be unpacked. Its functions' names stand in symbol tables.
  std::string_view name = symbol.empty() ? debug_symbol(address) : symbol;
  if (report::is_start_code(name)) {
    frames.emplace_back().function = name;
    frames.back().linkage_name = symbol;
    return frames;
  }
  if (is_go) {
    frames = go_->resolve(address);
  } else {
    read_debug_information();
    if (debug_) frames = debug_->resolve(address, name, distance);
  }
  if (!symbol.empty()) {
    if (frames.empty()) frames.emplace_back();
    frames.back().linkage_name = symbol;
    frames.back().symbol = symbol;
    frames.back().symbol_offset = distance;
  }
  for (SourceFrame& frame : frames) spell(frame);
  return frames;
}

/// Functions that no other unit can call (lambdas, static ones) have no linkage name in DWARF, and no name that says
/// where they belong. The symbol table's says it.
void Module::spell(SourceFrame& frame) {
  bool by_symbol =
      frame.function.empty() || (!report::is_mangled(frame.function) && report::is_mangled(frame.linkage_name));
  report::FunctionName name = names_.of(by_symbol ? frame.linkage_name : frame.function);
  frame.function = name.shown;
  if (name.full != name.shown) frame.full_name = name.full;
  // By the debug information's own name where it has one, as inlined copies have no other.
  bool is_declared = by_symbol && !frame.plain_name.empty();
  if (!frame.around.empty())  // lambdas are told apart by their lines: their numbers and parameters are not lasting
    frame.plain_name = plain_name(names_.of(frame.around).full) + "::{lambda}";
  else
    frame.plain_name = plain_name(is_declared ? std::string_view(frame.plain_name) : name.full);
}

const std::string& Module::problem() {
  if (!located_) locate();
  return problem_;
}

const std::vector<SourceFrame>& Module::resolve(uint64_t offset, bool is_return_address) {
  if (!read_) read_names();
  uint64_t address = is_return_address && offset ? offset - 1 : offset;
  auto [known, is_new] = frames_.try_emplace(address);
  if (!is_new || file_.empty()) return known->second;
  try {
    known->second = look_up(address);
  } catch (const std::bad_alloc&) {
    if (!debug_) throw;
    give_up_debug_information();
    known->second = look_up(address);
  }
  return known->second;
}

/// Names from the symbol table take much less memory.
void Module::give_up_debug_information() {
  debug_.reset();
  has_debug_ = false;
  problem_ = "has no source lines here (there is not enough memory)";
}

Symbolizer::Symbolizer(Options options)
    : options_(std::move(options)),
      names_(std::make_unique_for_overwrite<report::FunctionNames>()),
      servers_(std::make_unique<Debuginfod>(options_.debuginfod_servers)) {}

Module& Symbolizer::module(std::string_view path, std::string_view build_id) {
  std::pair<std::string, std::string> key(path, build_id);
  std::unique_ptr<Module>& place = modules_[key];
  if (!place) place = std::make_unique<Module>(key.first, key.second, options_, *names_, *servers_);
  return *place;
}

const PerfMap& Symbolizer::perf_map(PerfMapOf process) {
  process.root = options_.root;
  perf_map_->read(process);
  return *perf_map_;
}

void Symbolizer::give_up() {
  perf_map_->clear();
  modules_.clear();
  has_given_up_ = true;
}

report::ResolvedFrame as_resolved(const SourceFrame& frame) {
  return {.function = frame.function,
          .linkage_name = frame.linkage_name,
          .file = frame.file,
          .line = frame.line,
          .inlined = frame.inlined,
          .full_name = frame.full_name,
          .plain_name = frame.plain_name,
          .function_line = frame.function_line,
          .is_function_line = frame.is_function_line,
          .symbol = frame.symbol,
          .symbol_offset = frame.symbol_offset};
}

LedgerResolver::LedgerResolver(Symbolizer& symbolizer, const ledger::View& view)
    : symbolizer_(symbolizer), view_(view), modules_(view.module_count(), nullptr) {}

Module* LedgerResolver::module(uint32_t index) {
  if (index == 0 || index >= modules_.size() || symbolizer_.has_given_up()) return nullptr;
  if (!modules_[index]) {
    const ledger::Module* recorded = view_.module(index);
    if (!recorded) return nullptr;
    modules_[index] = &symbolizer_.module(view_.text(recorded->path), view_.build_id_bytes(*recorded));
  }
  return modules_[index];
}

void LedgerResolver::resolve(const ledger::Node& node, void* emit_context,
                             void (*emit)(void* emit_context, const report::ResolvedFrame& frame)) {
  uint32_t number = node.module & ledger::kNodeModuleMask;
  if (!number && !symbolizer_.has_given_up()) {
    const ledger::Header& process = view_.header();
    if (!perf_map_)
      perf_map_ = &symbolizer_.perf_map({.root = {},
                                         .pid = process.pid,
                                         .started_ns = static_cast<int64_t>(process.started_realtime_ns),
                                         .seen_ns = 0,
                                         .user = process.uid});
    for (const SourceFrame& frame : perf_map_->resolve(report::lookup_offset(node)))
      emit(emit_context, as_resolved(frame));
    return;
  }
  Module* where = module(number);
  if (!where) return;
  for (const SourceFrame& frame : where->resolve(node.offset, !(node.module & ledger::kNodeExactPc)))
    emit(emit_context, as_resolved(frame));
}

report::FrameResolver LedgerResolver::resolver() {
  return {.context = this,
          .resolve = [](void* context, const ledger::View&, const ledger::Node& node, void* emit_context,
                        void (*emit)(void* emit_context, const report::ResolvedFrame& frame)) {
            static_cast<LedgerResolver*>(context)->resolve(node, emit_context, emit);
          }};
}

std::vector<std::string> LedgerResolver::notes() {
  std::vector<std::string> notes;
  if (symbolizer_.has_given_up())
    notes.emplace_back("functions and source lines are missing: there was not enough memory");
  for (uint32_t index = 1; index < modules_.size(); ++index)
    if (modules_[index] && !modules_[index]->problem().empty())
      notes.push_back(std::string(view_.text(view_.module(index)->path)) + " " + modules_[index]->problem());
  return notes;
}

}  // namespace unfreed::symbolize
