#include "trace/mapped_files.h"

#include <elf.h>

#include <cstring>
#include <utility>

#include "base/text.h"
#include "elf/file.h"
#include "elf/opened.h"
#include "elf/program.h"

namespace unfreed::trace {

MappedFiles::MappedFiles(std::string program, std::span<const std::byte> auxiliary_vector)
    : program_(std::move(program)) {
  uintptr_t entry = 0, interpreter_base = 0;
  for (size_t at = 0; at + sizeof(Elf64_auxv_t) <= auxiliary_vector.size(); at += sizeof(Elf64_auxv_t)) {
    Elf64_auxv_t one;
    std::memcpy(&one, auxiliary_vector.data() + at, sizeof one);
    if (one.a_type == AT_ENTRY) entry = one.a_un.a_val;
    if (one.a_type == AT_BASE) interpreter_base = one.a_un.a_val;
  }
  elf::Opened opened(program_.c_str());
  elf::Bytes bytes = opened.bytes();
  elf::Program about;
  uintptr_t entry_in_file = 0;
  bool is_read = opened && !elf::read_program(bytes, elf::Depth::start, about) &&
                 bytes.read(offsetof(Elf64_Ehdr, e_entry), &entry_in_file, sizeof entry_in_file);
  if (!is_read) return;
  add_object(program_, entry - entry_in_file);
  if (about.interpreter[0] && interpreter_base) add_object(about.interpreter, interpreter_base);
}

/// As the kernel's loader and libc's map it.
void MappedFiles::add_object(const std::string& path, uintptr_t bias) {
  elf::Opened opened(path.c_str());
  elf::Bytes bytes = opened.bytes();
  elf::File file;
  if (!opened || file.open(bytes)) return;
  for (uint32_t index = 0; index < file.segment_count(); ++index) {
    elf::Segment segment;
    constexpr uint64_t kPage = 4096;
    if (!file.segment(index, segment) || segment.type != PT_LOAD || !(segment.flags & PF_X)) continue;
    uint64_t before = segment.address % kPage;
    add(bias + segment.address - before, segment.file_bytes + before, segment.offset - before, path);
  }
}

void MappedFiles::add(uintptr_t start, uintptr_t bytes, uint64_t offset, const std::string& path) {
  constexpr uintptr_t kPage = 4096;
  uintptr_t end = start + (bytes + kPage - 1) / kPage * kPage;
  // What was there before is gone. Of one that is only partly covered the rest is not code that anybody calls.
  std::erase_if(mappings_, [&](const auto& one) { return one.first < end && one.second.end > start; });
  mappings_[start] = {end, offset, path};
}

std::string MappedFiles::text() const {
  std::string text;
  for (const auto& [start, mapping] : mappings_) {
    base::FixedText<96> line;
    line.add_hex(start).add('-').add_hex(mapping.end).add(" r-xp ").add_hex(mapping.offset).add(" 00:00 1 ");
    text += line.text();
    text += mapping.path + "\n";
  }
  return text;
}

}  // namespace unfreed::trace
