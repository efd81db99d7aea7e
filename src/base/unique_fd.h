// A descriptor of our own, closed at the end of its scope.
#pragma once

#include <utility>

#include "base/syscall.h"

namespace unfreed::base {

class UniqueFd {
 public:
  UniqueFd() = default;
  /// Takes ownership of the descriptor; a negative number is none, or −errno if it could not be opened.
  explicit UniqueFd(long fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return static_cast<int>(fd_); }
  /// The error, if it could not be opened.
  int error() const { return fd_ < 0 ? static_cast<int>(-fd_) : 0; }
  void reset() {
    if (fd_ >= 0) close_file(fd_);
    fd_ = -1;
  }

 private:
  long fd_ = -1;
};

}  // namespace unfreed::base
