// The input is damage to the ledger of the library in a traced process (damaged_ledger.h). Whatever that ledger, it is
// refused, or what it has is added to the tracer's. That one's own records stay, and the report is valid JSON.
#include <unistd.h>

#include "damaged_ledger.h"
#include "ledger/copy.h"
#include "ledger/library_part.h"

namespace {

using namespace unfreed;

constexpr int kTracersFd = 7;

/// A file with a ledger whose tables have room for what another one has.
int tracers_file() {
  test::LedgerBuilder tracers;
  tracers.writer().cover(ledger::Kind::fd, ledger::Coverage::exact);
  tracers.writer().cover(ledger::Kind::thread, ledger::Coverage::partial, "joins are not seen");
  ledger::Composer(tracers.writer()).name_hooks(std::string_view("openat\0clone", 12), 2);
  uint32_t stack = tracers.stack({{tracers.module("/bin/program"), 1}});
  tracers.table_fd(kTracersFd, ledger::FdOrigin::acquired, tracers.site(ledger::Kind::fd, 0, stack));
  char path[] = "/tmp/unfreed-fuzz-XXXXXX";
  int file = mkstemp(path);
  tracers.save(path);
  int saved = open(path, O_RDONLY | O_CLOEXEC);
  unlink(path);
  close(file);
  return saved;
}

void check_tracers_own(const ledger::View& view) {
  const ledger::FdRecord* fd = view.fd(kTracersFd);
  test::check(fd, "the tracer's descriptor is there");
  const ledger::Site* site = view.site(ledger::fd_site(fd->word.load()));
  test::check(site && site->kind == static_cast<uint8_t>(ledger::Kind::fd), "and has its site");
  const ledger::Header& header = view.header();
  test::check(header.coverage[0] == static_cast<uint8_t>(ledger::Coverage::exact), "it is counted by the tracer");
  uint32_t at = 0;
  view.each_text(header.hook_names, header.hook_count,
                 [&](std::string_view name) { test::check(at++ != site->hook || name == "openat", "and its call"); });
}

/// `own`: the tracer's as it was. What is added refers to nothing of it.
void check_added(const ledger::View& view, const ledger::View& own) {
  auto is_new = [](uint64_t reference, uint64_t owns) { return reference == 0 || reference >= owns; };
  for (uint32_t at = own.site_count(); at < view.site_count(); ++at) {
    const ledger::Site* site = view.site(at);
    if (!site) continue;
    test::check(is_new(site->node, own.node_count()), "a site's stack is not the tracer's");
    test::check(site->hook >= own.header().hook_count, "nor its function");
  }
  for (uint32_t at = own.node_count(); at < view.node_count(); ++at) {
    const ledger::Node* node = view.node(at);
    if (!node) continue;
    test::check(is_new(node->parent, own.node_count()), "a frame's caller is not the tracer's");
    bool has_module = !(node->module & ledger::kNodeSource);
    test::check(!has_module || is_new(node->module & ledger::kNodeModuleMask, own.module_count()), "nor its module");
  }
  for (uint32_t at = own.module_count(); at < view.module_count(); ++at)
    if (const ledger::Module* module = view.module(at))
      test::check(is_new(module->path, own.text_bytes()), "a module's path is not the tracer's");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static test::DamagedLedger library;
  static const int file = tracers_file();
  ledger::View view;
  if (ledger::View::open(library.damage(data, size), view)) return 0;
  ledger::Copy copy, own;
  test::check(!copy.load(file) && !own.load(file), "the tracer's ledger is read");
  test::check(ledger::add_library_part(copy, view), "there is memory");
  check_tracers_own(copy.view());
  check_added(copy.view(), own.view());
  test::check_report_of(copy.view());
  return 0;
}
