// Bytes for a parser in memory that ends where they end: a read beyond them is fatal, without a sanitizer, too.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <span>

namespace unfreed::test {

class ExactBytes {
 public:
  explicit ExactBytes(std::span<const uint8_t> bytes) : room_((bytes.size() + kPage - 1) / kPage * kPage) {
    memory_ =
        static_cast<uint8_t*>(mmap(nullptr, room_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory_ == MAP_FAILED || mprotect(memory_ + room_, kPage, PROT_NONE) != 0) throw std::bad_alloc();
    bytes_ = {memory_ + room_ - bytes.size(), bytes.size()};
    if (!bytes.empty()) std::memcpy(bytes_.data(), bytes.data(), bytes.size());
  }
  ~ExactBytes() { munmap(memory_, room_ + kPage); }
  ExactBytes(const ExactBytes&) = delete;
  ExactBytes& operator=(const ExactBytes&) = delete;

  std::span<uint8_t> get() { return bytes_; }

 private:
  static constexpr size_t kPage = 4096;
  size_t room_;
  uint8_t* memory_;
  std::span<uint8_t> bytes_;
};

}  // namespace unfreed::test
