#include "kernel/program_facts.h"

#include "base/text.h"
#include "elf/opened.h"
#include "elf/program.h"
#include "ledger/view.h"

namespace unfreed::report {

using ledger::Coverage;
using ledger::Kind;

namespace {

constexpr auto kHeap = static_cast<size_t>(Kind::heap);

bool open_view(const ledger::Writer& writer, ledger::View& view) {
  return !ledger::View::open({static_cast<const std::byte*>(writer.base()), writer.header().file_bytes}, view,
                             writer.backed());
}

std::string_view build_id_of_program(const ledger::View& view) {
  for (uint32_t index = 1; index < view.module_count(); ++index)
    if (const ledger::Module* module = view.module(index); module && module->flags & ledger::kModuleMain)
      return view.build_id_bytes(*module);
  return {};
}

}  // namespace

std::string_view find_inner_allocator(const char* path, std::string_view build_id) {
  elf::Opened opened(path);
  if (!opened) return {};
  elf::Bytes bytes = opened.bytes();
  elf::File file;
  char id[64];
  if (file.open(bytes)) return {};
  if (!build_id.empty() && std::string_view(id, file.build_id(id)) != build_id) return {};
  elf::Program program;
  return elf::read_program(bytes, elf::Depth::whole, program) ? std::string_view() : program.inner_allocator;
}

std::string_view find_inner_allocator(const ledger::Writer& writer) {
  ledger::View view;
  if (!open_view(writer, view)) return {};
  std::string_view path = view.text(view.header().exe);
  // Texts in a ledger end with a NUL.
  return path.empty() ? std::string_view() : find_inner_allocator(path.data(), build_id_of_program(view));
}

void cover_inner_allocator(const ledger::Writer& writer, std::string_view allocator) {
  ledger::Header& header = writer.header();
  bool is_exact = header.kinds_tracked & 1u << kHeap && header.coverage[kHeap] == static_cast<uint8_t>(Coverage::exact);
  if (allocator.empty() || !is_exact) return;
  base::FixedText<160> reason;
  reason.add(allocator).add(" is linked into the program under names of its own; its blocks are not seen");
  header.coverage_reason[kHeap] = writer.add_text(reason.text());
  header.coverage[kHeap] = static_cast<uint8_t>(Coverage::partial);
}

}  // namespace unfreed::report
