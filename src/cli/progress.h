// Says what the command is doing, on standard error, if that is a terminal and it takes more than a second. The line is
// gone when it is done.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace unfreed::cli {

/// From its construction to its destruction. One at a time.
class Progress {
 public:
  /// `what`: "reading report.json"
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  void show();

  std::string what_;
  std::thread thread_;  ///< where there is a terminal
  std::mutex lock_;
  std::condition_variable ended_;
  bool has_ended_ = false;
};

}  // namespace unfreed::cli
