// Ensures one report at a time. The turn belongs to the thread that makes the report: a signal handler that has
// interrupted that thread must not wait for it.
#pragma once

namespace unfreed::runtime {

/// What happens to a copy of the process that was left to itself (grade_on_request()).
enum class LeftCopy : bool { is_waited_for, is_killed };

class ReportTurn {
 public:
  /// Waits for the report that another thread is making, or such a copy, for at most `patience_ms`.
  explicit ReportTurn(int patience_ms, LeftCopy left_copy = LeftCopy::is_waited_for);
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
