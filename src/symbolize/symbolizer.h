// Names and source lines for the frames of a report: finds a module's file, checks that it is the one that ran, and
// reads its debug information. Lazy: a module is opened when a frame of it is first looked up, and results are
// kept. For use in the reader only (allocates, opens files). Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "elf/file.h"
#include "evaluate/evaluate.h"
#include "names/elf_symbols.h"
#include "names/function_names.h"
#include "symbolize/debuginfod.h"
#include "symbolize/dwarf_module.h"
#include "symbolize/go_lines.h"
#include "symbolize/perf_map.h"

namespace unfreed::symbolize {

struct Options {
  std::string debug_directories = kDebugDirectories;
  /// The target's root directory, "/proc/123/root" for one in a container; tried before the plain path.
  std::string root;
  /// Servers to ask for what is not on this machine, as DEBUGINFOD_URLS has them; "": nobody waits for a server.
  std::string debuginfod_servers = {};
};

/// The names in a file's own symbol table: the same choice among aliases as the runtime makes, so that both halves
/// compute the same signatures.
class SymbolFile {
 public:
  explicit SymbolFile(const std::string& path);
  ~SymbolFile();
  SymbolFile(const SymbolFile&) = delete;
  SymbolFile& operator=(const SymbolFile&) = delete;
  std::string_view find(uint64_t address, uint64_t* distance = nullptr) { return symbols_.find(address, distance); }

 private:
  std::span<const std::byte> bytes_;
  std::vector<uint32_t> index_;
  report::ElfSymbols symbols_;
};

/// One module's file, opened when first needed.
class Module {
 public:
  Module(std::string path, std::string build_id, const Options& options, report::FunctionNames& names,
         Debuginfod& servers);
  ~Module();

  /// Frames at an offset of the module (its file's own address). `is_return_address`: the calling instruction lies
  /// before.
  const std::vector<SourceFrame>& resolve(uint64_t offset, bool is_return_address);
  /// Why this module's file is not used, or only in part; "" if it is used.
  const std::string& problem();

 private:
  void locate();
  void read_names();
  bool is_same_file(const std::string& path);
  bool has_debug_information(const std::string& path, const elf::File& file);
  void read_debug_information();
  std::string_view debug_symbol(uint64_t address);
  std::vector<SourceFrame> look_up(uint64_t address);
  void give_up_debug_information();
  void spell(SourceFrame& frame);

  std::string path_;
  std::string build_id_;  ///< raw
  const Options& options_;
  report::FunctionNames& names_;
  Debuginfod& servers_;
  bool located_ = false;
  bool read_ = false;
  std::string file_;  ///< "" where none can be used
  std::string problem_;
  bool has_debug_ = false;
  std::string fetched_debug_file_;  ///< the same from a server
  std::string debug_file_;          ///< a separate file of debug information, found by build ID; "" none
  std::unique_ptr<DwarfModule> debug_;
  std::unique_ptr<SymbolFile> symbols_;
  std::unique_ptr<GoLines> go_;                                    ///< of a Go program
  std::unique_ptr<SymbolFile> debug_symbols_;                      ///< of debug_file_
  std::unordered_map<uint64_t, std::vector<SourceFrame>> frames_;  ///< by address
};

class Symbolizer {
 public:
  explicit Symbolizer(Options options = {});

  /// The module of that path and (raw) build ID; the same one each time. Valid as long as the symbolizer.
  Module& module(std::string_view path, std::string_view build_id);
  /// Of code that a process has made while it runs, as it is now. `process.root` is filled in. Valid until the next
  /// call, or give_up().
  const PerfMap& perf_map(PerfMapOf process);
  /// Forgets all modules, and opens none any more: there is no memory for them.
  void give_up();
  bool has_given_up() const { return has_given_up_; }
  /// A function's name as a report shows it.
  std::string spell(std::string_view linkage_name) { return std::string(names_->of(linkage_name).shown); }

 private:
  Options options_;
  std::unique_ptr<report::FunctionNames> names_;
  std::unique_ptr<Debuginfod> servers_;
  bool has_given_up_ = false;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Module>, std::less<>> modules_;
  std::unique_ptr<PerfMap> perf_map_ = std::make_unique<PerfMap>();
};

/// As resolvers give it; valid as long as `frame`.
report::ResolvedFrame as_resolved(const SourceFrame& frame);

/// A symbolizer's answers for the frames of one ledger.
class LedgerResolver {
 public:
  /// Both must outlive the resolver.
  LedgerResolver(Symbolizer& symbolizer, const ledger::View& view);

  /// For report::write_report.
  report::FrameResolver resolver();
  /// One line for each module that was looked up and whose file cannot be used, or only in part.
  std::vector<std::string> notes();

 private:
  Module* module(uint32_t index);
  void resolve(const ledger::Node& node, void* emit_context,
               void (*emit)(void* emit_context, const report::ResolvedFrame& frame));

  Symbolizer& symbolizer_;
  const ledger::View& view_;
  std::vector<Module*> modules_;       ///< by ledger index, nullptr until asked for
  const PerfMap* perf_map_ = nullptr;  ///< nullptr until asked for
};

}  // namespace unfreed::symbolize
