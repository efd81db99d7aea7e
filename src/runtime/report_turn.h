// One report at a time. A report belongs to the thread that makes it, by number: what a signal handler that has
// interrupted it may not wait for.
#pragma once

namespace unfreed::runtime {

class ReportTurn {
 public:
  /// Waits for the report that another thread makes, as long as `patience_ms`.
  explicit ReportTurn(int patience_ms);
  ~ReportTurn();
  ReportTurn(const ReportTurn&) = delete;
  ReportTurn& operator=(const ReportTurn&) = delete;
  /// False: another report is being made.
  explicit operator bool() const { return held_; }
  /// Takes the turn for good, over whoever has it: for the last report.
  void take_over();

 private:
  bool held_;
};

/// Is the report that is being made this thread's? Then this is a signal handler above it.
bool is_own_turn();

}  // namespace unfreed::runtime
