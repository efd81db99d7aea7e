// The files that a program has mapped code of, as its system calls said: for one that may end before it is looked at.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace unfreed::trace {

class MappedFiles {
 public:
  MappedFiles() = default;
  /// Of a program that begins: what the kernel itself maps, by its auxiliary vector.
  MappedFiles(std::string program, std::span<const std::byte> auxiliary_vector);

  const std::string& program() const { return program_; }
  void add(uintptr_t start, uintptr_t bytes, uint64_t offset, const std::string& path);
  /// As in /proc/PID/maps: what is executable.
  std::string text() const;

 private:
  struct Mapping {
    uintptr_t end;
    uint64_t offset;
    std::string path;
  };
  void add_object(const std::string& path, uintptr_t bias);

  std::string program_;
  std::map<uintptr_t, Mapping> mappings_;  ///< by start
};

}  // namespace unfreed::trace
