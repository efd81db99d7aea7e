// Ensures one report at a time. The turn belongs to the thread that makes the report: a signal handler that has
// interrupted that thread must not wait for it.
#pragma once

namespace unfreed::runtime {

class ReportTurn {
 public:
  /// Waits for the report that another thread is making, for at most `patience_ms`.
  explicit ReportTurn(int patience_ms);
  ~ReportTurn();
  ReportTurn(const ReportTurn&) = delete;
  ReportTurn& operator=(const ReportTurn&) = delete;
  /// False: another report is being made.
  explicit operator bool() const { return held_; }
  /// Takes the turn for good, even from another thread: for the last report.
  void take_over();

 private:
  bool held_;
};

/// Is this thread making the report? Then this is a signal handler above it.
bool is_own_turn();

}  // namespace unfreed::runtime
