#include "evaluate/accepted.h"

#include <fcntl.h>

#include <algorithm>

#include "base/text.h"
#include "elf/file.h"
#include "elf/opened.h"
#include "evaluate/frames.h"
#include "names/code_owner.h"
#include "settings/programs.h"

namespace unfreed::report {

namespace {

enum class What : uint8_t {
  own_script,
  own_digit,
  own_numbers,
  own_code,
  by_function,
  by_library,
  python_workers,
  python_helpers,
  python_pipes,
  own_losses,
  shell_losses,
  own_objects,
  own_calls,
};
struct Accepted {
  std::string_view programs;
  Subject subject;
  What what;
  std::string_view functions;
  std::string_view reason;
};
constexpr std::string_view kAnyProgram = "*";
constexpr Accepted kAccepted[] = {
#define KNOWN_BY(programs, symbol)
#define ACCEPTED(programs, subject, what, functions, reason) \
  {programs, Subject::subject, What::what, functions, reason},
#include "settings/default_suppressions.inc"
#undef ACCEPTED
#undef KNOWN_BY
};

struct KnownBy {
  std::string_view programs;
  std::string_view symbol;
};
constexpr KnownBy kKnownBy[] = {
#define KNOWN_BY(programs, symbol) {programs, symbol},
#define ACCEPTED(programs, subject, what, functions, reason)
#include "settings/default_suppressions.inc"
#undef ACCEPTED
#undef KNOWN_BY
};

/// A library that the program may be a small part of: libruby-3.1.so.3.1 of ruby3.1.
bool is_library_of(std::string_view program, std::string_view library) {
  while (!program.empty() && (base::is_digit(program.back()) || program.back() == '.')) program.remove_suffix(1);
  constexpr std::string_view kPrefix = "lib";
  return !program.empty() && library.starts_with(kPrefix) && base::slice(library, kPrefix.size()).starts_with(program);
}

bool exports(std::string_view path, std::string_view symbol) {
  base::FixedText<4096> name;
  elf::Opened file(name.add(path).c_str());
  if (!file) return false;
  elf::Bytes bytes = file.bytes();
  elf::File object;
  return !object.open(bytes) && elf::Dynamic(object).exports(symbol);
}

/// Is it the well-known program of its name, and not just one that is named alike?
bool is_well_known(const ledger::View& view) {
  std::string_view path = view.text(view.header().exe);
  std::string_view program = base::base_name(path);
  for (const KnownBy& known : kKnownBy) {
    if (!is_named(known.programs, program)) continue;
    if (exports(path, known.symbol)) return true;
    for (uint32_t index = 1; index < view.module_count(); ++index) {
      const ledger::Module* module = view.module(index);
      std::string_view library = module ? view.text(module->path) : std::string_view();
      if (is_library_of(program, base::base_name(library)) && exports(library, known.symbol)) return true;
    }
    return false;
  }
  return is_system_module(path);
}

/// The rows for this process: `visit(row)` until it returns true.
template <class Visit>
uint32_t find_row(const ReportInput& input, Evaluation& evaluation, Subject subject, Visit visit) {
  if (input.settings->no_default_suppressions) return kNoIndex;
  std::string_view program = base::base_name(evaluation.view->text(evaluation.view->header().exe));
  auto is_of = [&](std::string_view programs) {
    if (programs == kAnyProgram) return true;
    if (!is_named(programs, program)) return false;
    if (!evaluation.is_well_known) evaluation.is_well_known = is_well_known(*evaluation.view);
    return *evaluation.is_well_known;
  };
  for (uint32_t row = 0; row < std::size(kAccepted); ++row)
    if (kAccepted[row].subject == subject && is_of(kAccepted[row].programs) && visit(kAccepted[row]))
      return kFirstBuiltIn + row;
  return kNoIndex;
}

/// Is `target`, what a descriptor refers to, that script? It may have removed itself.
bool is_script(std::string_view target, std::string_view script) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (target.ends_with(kDeleted)) target.remove_suffix(kDeleted.size());
  return !script.empty() && target == script;
}

bool is_of_main_module(const ledger::View& view, const ledger::Node* node) {
  const ledger::Module* module = node ? view.module(node->module & ledger::kNodeModuleMask) : nullptr;
  return module && module->flags & ledger::kModuleMain;
}

/// Is it code of the executable, of the runtime, or of libraries that are installed with the system?
bool is_interpreters(const ledger::View& view, const ledger::Module* module) {
  constexpr uint16_t kOwn = ledger::kModuleMain | ledger::kModuleRuntime;
  return module && (module->flags & kOwn || is_system_module(view.text(module->path)));
}

/// Of a stack: the innermost frame that is not the runtime's.
const ledger::Node* innermost(const ledger::View& view, uint32_t leaf) {
  const ledger::Node* nodes[8];
  size_t depth = view.stack(leaf, nodes);
  for (size_t at = 0; at < depth; ++at) {
    const ledger::Module* module = view.module(nodes[at]->module & ledger::kNodeModuleMask);
    if (!module || !(module->flags & ledger::kModuleRuntime)) return nodes[at];
  }
  return nullptr;
}

/// Does the innermost frame lie in the interpreter itself: the executable, or the library that it is a small part of?
bool is_called_by_interpreter(const ledger::View& view, uint32_t leaf) {
  const ledger::Node* caller = innermost(view, leaf);
  if (is_of_main_module(view, caller)) return true;
  const ledger::Module* module = caller ? view.module(caller->module & ledger::kNodeModuleMask) : nullptr;
  return module &&
         is_library_of(base::base_name(view.text(view.header().exe)), base::base_name(view.text(module->path)));
}

}  // namespace

std::string_view built_in_reason(uint32_t suppression) {
  uint32_t row = suppression - kFirstBuiltIn;
  return row < std::size(kAccepted) ? kAccepted[row].reason : std::string_view();
}

namespace {

/// Does `is_wanted(frame)` say so of any frame of the stack?
template <class Wanted>
bool any_frame(const ReportInput& input, const Evaluation& evaluation, uint32_t site, Wanted is_wanted) {
  const ledger::Site* record = evaluation.view->site(site);
  if (!record) return false;
  struct Search {
    Wanted& is_wanted;
    bool found = false;
  } search{is_wanted};
  visit_stack(*evaluation.view, input.resolver, record->node, {&search, [](void* context, const FrameView& frame) {
                                                                 auto& wanted = *static_cast<Search*>(context);
                                                                 if (frame.resolved)
                                                                   wanted.found = wanted.found ||
                                                                                  wanted.is_wanted(*frame.resolved);
                                                               }});
  return search.found;
}

/// Is one of the functions on the stack?
bool is_called_by(const ReportInput& input, const Evaluation& evaluation, uint32_t site, std::string_view functions) {
  return any_frame(input, evaluation, site, [&](const ResolvedFrame& frame) {
    return !frame.function.empty() && is_named(functions, frame.function);
  });
}

/// Is all of a stack the interpreter's, or all of it up to where it began to run a program, in one of `functions`?
bool is_of_interpreter(const ReportInput& input, const ledger::View& view, uint32_t leaf, std::string_view functions) {
  struct Search {
    const ledger::View& view;
    std::string_view functions;
    bool is_foreign = false, runs_program = false;
    size_t frames = 0;
  } search{view, functions};
  visit_stack(view, input.resolver, leaf, {&search, [](void* context, const FrameView& frame) {
                                             auto& found = *static_cast<Search*>(context);
                                             ++found.frames;
                                             if (found.is_foreign || found.runs_program) return;
                                             found.is_foreign = !is_interpreters(found.view, frame.module);
                                             found.runs_program = !found.is_foreign && frame.resolved &&
                                                                  !found.functions.empty() &&
                                                                  is_named(found.functions, frame.resolved->function);
                                           }});
  return search.runs_program || (!search.is_foreign && search.frames < kMaxFrames);
}

bool is_of_library(const Evaluation& evaluation, uint32_t site, std::string_view libraries) {
  const ledger::View& view = *evaluation.view;
  const ledger::Site* record = view.site(site);
  const ledger::Node* caller = record ? innermost(view, record->node) : nullptr;
  const ledger::Module* module = caller ? view.module(caller->module & ledger::kNodeModuleMask) : nullptr;
  return module && is_named(libraries, base::base_name(view.text(module->path)));
}

/// Those by which multiprocessing notices a process's end, and a process its parent's. They are closed when the object
/// for the process is freed; one of a module's variables never is. More than so many are a leak of such objects.
bool are_python_pipes(const ReportInput& input, const Evaluation& evaluation, uint32_t site) {
  constexpr uint32_t kMost = 128;
  if (evaluation.sites[site].objects > kMost) return false;
  // The innermost call: all that a forked process does later is below the same one.
  bool has_call = false;
  return any_frame(input, evaluation, site, [&has_call](const ResolvedFrame& frame) {
    bool is_innermost = frame.file.ends_with(".py") && !has_call;
    has_call = has_call || is_innermost;
    return is_innermost && frame.function == "Popen._launch" &&
           frame.file.find("/multiprocessing/popen_") != frame.file.npos;
  });
}

std::string_view target_of(const Evaluation& evaluation, const EvaluatedFd& fd) {
  const ledger::View& view = *evaluation.view;
  if (const ledger::KernelFd* kernel = fd.kernel == kNoIndex ? nullptr : view.kernel_fd(fd.kernel))
    return view.text(kernel->target);
  // The process was killed: only the name that it was opened by is known.
  const ledger::FdRecord* record = view.fd(static_cast<uint32_t>(fd.fd));
  if (!record || record->target.serial.load(std::memory_order_acquire) != fd.serial) return {};
  return {record->target.value, std::min<size_t>(record->target.bytes, sizeof record->target.value)};
}

/// What multiprocessing runs in a process that it has started: "" in one that it has forked, or that is not its own.
std::string_view python_main(const Evaluation& evaluation) {
  std::string_view found;
  const ledger::Header& header = evaluation.view->header();
  evaluation.view->each_text(header.argv, header.argv_count, [&](std::string_view argument) {
    constexpr std::string_view kStart = "from multiprocessing.";
    if (found.empty() && argument.starts_with(kStart)) found = base::slice(argument, kStart.size());
  });
  return found;
}

/// A worker's standard input is /dev/null under another number, once; one that was not forked has a copy of a pipe
/// that tells it of its parent's end. A fork server runs no code of the program's before it forks.
bool is_of_python_worker(const Evaluation& evaluation, const EvaluatedFd& fd, const EvaluatedSite& held) {
  bool is_forked = evaluation.view->header().flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagForked;
  std::string_view main = python_main(evaluation);
  if (!is_forked && main.starts_with("forkserver ")) return true;
  if ((!is_forked && main.empty()) || held.objects != 1) return false;
  const ledger::Site* record = evaluation.view->site(fd.site);
  bool is_copy = record && evaluation.function_name(record->hook).starts_with("fcntl");
  return target_of(evaluation, fd) == "/dev/null" || (!main.empty() && is_copy);
}

/// The writing end of a pipe, one for each helper that runs.
bool is_python_helpers_pipe(const Evaluation& evaluation, const EvaluatedFd& fd, const EvaluatedSite& held) {
  const ledger::View& view = *evaluation.view;
  uint32_t helpers = 0;
  for (uint32_t index = 0; index < view.kernel_task_count(); ++index) {
    const ledger::KernelTask* task = view.kernel_task(index);
    if (task && task->is_child && task->flags & ledger::kTaskPythonHelper) ++helpers;
  }
  const ledger::KernelFd* kernel = fd.kernel == kNoIndex ? nullptr : view.kernel_fd(fd.kernel);
  return held.objects <= helpers && kernel && (kernel->status_flags & O_ACCMODE) == O_WRONLY &&
         view.text(kernel->target).starts_with("pipe:");
}

bool is_own_call(const Evaluation& evaluation, uint32_t site, std::string_view functions) {
  const ledger::Site* record = evaluation.view->site(site);
  return record && is_named(functions, evaluation.function_name(record->hook)) &&
         is_called_by_interpreter(*evaluation.view, record->node);
}

}  // namespace

uint32_t accepted_descriptors(const ReportInput& input, Evaluation& evaluation, uint32_t site) {
  const EvaluatedSite& held = evaluation.sites[site];
  std::string_view script = evaluation.view->text(evaluation.view->header().script);
  uint32_t first = kNoIndex;
  constexpr ptrdiff_t kMostHigh = 2;
  // Those that it was started with are not the script's.
  auto is_high = [&](const EvaluatedFd& fd) {
    return fd.fd >= 10 && fd.fd_class == FdClass::held && !is_script(target_of(evaluation, fd), script);
  };
  ptrdiff_t high = -1;  // of the process; not counted yet
  auto are_few = [&] {
    if (high < 0) high = std::count_if(evaluation.fds.begin(), evaluation.fds.end(), is_high);
    return high <= kMostHigh;
  };
  for (uint32_t at = held.first_object; at < held.first_object + held.objects; ++at) {
    const EvaluatedFd& fd = evaluation.fds[at];
    uint32_t row = find_row(input, evaluation, Subject::fd, [&](const Accepted& accepted) {
      if (accepted.what == What::own_digit) return fd.fd >= 3 && fd.fd <= 9;
      if (accepted.what == What::own_numbers) return is_high(fd) && are_few();
      if (accepted.what == What::python_workers) return is_of_python_worker(evaluation, fd, held);
      if (accepted.what == What::python_helpers) return is_python_helpers_pipe(evaluation, fd, held);
      if (accepted.what == What::python_pipes) return are_python_pipes(input, evaluation, site);
      if (accepted.what == What::by_function) return is_called_by(input, evaluation, site, accepted.functions);
      if (accepted.what == What::by_library) return is_of_library(evaluation, site, accepted.functions);
      if (accepted.what == What::own_calls) return is_own_call(evaluation, site, accepted.functions);
      const ledger::KernelFd* kernel = fd.kernel == kNoIndex ? nullptr : evaluation.view->kernel_fd(fd.kernel);
      return accepted.what == What::own_script && kernel && is_script(evaluation.view->text(kernel->target), script);
    });
    if (row == kNoIndex) return kNoIndex;
    if (first == kNoIndex) first = row;
  }
  return first;
}

uint32_t accepted_losses(const ReportInput& input, Evaluation& evaluation, uint32_t site) {
  const ledger::Site* record = evaluation.view->site(site);
  return find_row(input, evaluation, Subject::heap, [&](const Accepted& accepted) {
    if (!record) return false;
    if (accepted.what == What::by_function) return is_called_by(input, evaluation, site, accepted.functions);
    if (accepted.what == What::shell_losses && !is_system_module(evaluation.view->text(evaluation.view->header().exe)))
      return false;
    if (is_of_interpreter(input, *evaluation.view, record->node, accepted.functions)) return true;
    return accepted.what == What::own_objects && is_called_by_interpreter(*evaluation.view, record->node);
  });
}

uint32_t accepted_misuse(const ReportInput& input, Evaluation& evaluation, uint32_t site) {
  const ledger::Site* record = evaluation.view->site(site);
  return find_row(input, evaluation, Subject::misuse, [&](const Accepted& accepted) {
    return accepted.what == What::own_code && record &&
           is_of_main_module(*evaluation.view, innermost(*evaluation.view, record->node));
  });
}

}  // namespace unfreed::report
