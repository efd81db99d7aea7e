#include "evaluate/accepted.h"

#include "base/text.h"
#include "settings/programs.h"

namespace unfreed::report {

namespace {

enum class What : uint8_t { own_script, own_digit, own_code };
struct Accepted {
  std::string_view programs;
  Subject subject;
  What what;
  std::string_view reason;
};
constexpr Accepted kAccepted[] = {
#define ACCEPTED(programs, subject, what, reason) {programs, Subject::subject, What::what, reason},
#include "settings/default_suppressions.inc"
#undef ACCEPTED
};

/// The rows for this process: `visit(row)` until it returns true.
template <class Visit>
uint32_t find_row(const Evaluation& evaluation, Subject subject, Visit visit) {
  const ledger::Header& header = evaluation.view->header();
  if (header.flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagNoDefaultSuppressions) return kNoIndex;
  std::string_view program = base::base_name(evaluation.view->text(header.exe));
  for (uint32_t row = 0; row < std::size(kAccepted); ++row)
    if (kAccepted[row].subject == subject && is_named(kAccepted[row].programs, program) && visit(kAccepted[row].what))
      return kFirstBuiltIn + row;
  return kNoIndex;
}

/// Adds the parts of `path` to the absolute one that `out` holds.
void add_parts(base::TextBuilder& out, std::string_view path) {
  while (!path.empty()) {
    size_t end = path.find('/');
    std::string_view part = base::slice(path, 0, end);
    path = end == std::string_view::npos ? std::string_view() : base::slice(path, end + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      std::string_view so_far = out.text();
      out.shorten(so_far.rfind('/') == std::string_view::npos ? 0 : so_far.rfind('/'));
    } else {
      out.add('/').add(part);
    }
  }
}

/// "sh -c 'make test'" runs no script; nor does "python3 -m pytest", whose module is found by its name.
bool is_code_option(std::string_view program, std::string_view option) {
  if (option.starts_with("--") || option.size() < 2 || option.size() > 5) return false;
  if (is_named("perl*,ruby*,node,nodejs,lua*", program)) return option.back() == 'e' || option.back() == 'E';
  if (is_named("php*", program)) return option == "-r";
  return option == "-m" || option.back() == 'c';  // "-c", "-ec"
}

/// Options of interpreters with a value of their own: sh -o, bash -O, python -W and -X, ruby -I and -r …
bool takes_value(std::string_view option) {
  return option.size() == 2 && std::string_view("oOWXQIrR").find(option[1]) != std::string_view::npos;
}

bool is_of_main_module(const ledger::View& view, const ledger::Node* node) {
  const ledger::Module* module = node ? view.module(node->module & ledger::kNodeModuleMask) : nullptr;
  return module && module->flags & ledger::kModuleMain;
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

}  // namespace

std::string_view built_in_reason(uint32_t suppression) {
  uint32_t row = suppression - kFirstBuiltIn;
  return row < std::size(kAccepted) ? kAccepted[row].reason : std::string_view();
}

std::string_view script_of(const ledger::View& view, std::span<char> out) {
  const ledger::Header& header = view.header();
  std::string_view program = base::base_name(view.text(header.exe));
  std::string_view script;
  bool is_value = true, has_ended = false;  // the program's own name is to be passed over
  view.each_text(header.argv, header.argv_count, [&](std::string_view argument) {
    if (has_ended) return;
    if (is_value) {
      is_value = false;
    } else if (!argument.starts_with('-')) {
      script = argument;
      has_ended = true;
    } else {
      has_ended = is_code_option(program, argument) || argument == "-";
      is_value = takes_value(argument);
    }
  });
  std::string_view directory = view.text(header.directory);
  if (script.empty() || (!script.starts_with('/') && directory.empty())) return {};
  base::TextBuilder path(out);
  if (!script.starts_with('/')) add_parts(path, directory);
  add_parts(path, script);
  return path.cut() ? std::string_view() : path.text();
}

uint32_t accepted_descriptors(const Evaluation& evaluation, uint32_t site) {
  const EvaluatedSite& held = evaluation.sites[site];
  char room[kScriptBytes];
  std::string_view script;
  uint32_t first = kNoIndex;
  for (uint32_t at = held.first_object; at < held.first_object + held.objects; ++at) {
    const EvaluatedFd& fd = evaluation.fds[at];
    uint32_t row = find_row(evaluation, Subject::fd, [&](What what) {
      if (what == What::own_digit) return fd.fd >= 3 && fd.fd <= 9;
      const ledger::KernelFd* kernel = fd.kernel == kNoIndex ? nullptr : evaluation.view->kernel_fd(fd.kernel);
      if (script.empty()) script = script_of(*evaluation.view, room);
      return kernel && !script.empty() && evaluation.view->text(kernel->target) == script;
    });
    if (row == kNoIndex) return kNoIndex;
    if (first == kNoIndex) first = row;
  }
  return first;
}

uint32_t accepted_misuse(const Evaluation& evaluation, uint32_t site) {
  const ledger::Site* record = evaluation.view->site(site);
  return find_row(evaluation, Subject::misuse, [&](What) {
    return record && is_of_main_module(*evaluation.view, innermost(*evaluation.view, record->node));
  });
}

}  // namespace unfreed::report
