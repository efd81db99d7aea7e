// A module of another process: its code and unwind tables laid out as the loader has them, from its file.
#pragma once

#include <cstdint>
#include <string>

#include "elf/file.h"
#include "trace/called_functions.h"
#include "unwind/objects.h"

namespace unfreed::trace {

class ModuleImage {
 public:
  ModuleImage() = default;
  ~ModuleImage();
  ModuleImage(ModuleImage&& other) noexcept;
  ModuleImage& operator=(ModuleImage&& other) noexcept;
  ModuleImage(const ModuleImage&) = delete;
  ModuleImage& operator=(const ModuleImage&) = delete;

  /// Reads the segments that are not written to into memory of our own, as a file that is mapped may be cut short under
  /// us. Makes a search table of functions if the file has none. `bias`: where the process has it. False if it is no
  /// ELF file of this machine's kind, or makes no sense.
  bool read(const elf::Bytes& file, uintptr_t bias);

  /// For the unwinder: describes the image if `pc`, an address in the process, lies in it.
  bool find(uintptr_t pc, unwind::Object& out) const;
  const unwind::Object& object() const { return object_; }
  Code code() const;

 private:
  bool make_search_table(const elf::File& file, uintptr_t low);

  void* place_ = nullptr;
  size_t bytes_ = 0;
  size_t room_ = 0;  ///< behind the image, for a search table
  unwind::Object object_;
};

}  // namespace unfreed::trace
