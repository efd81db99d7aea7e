// A terminal, taken over for a while: lines in, keys out, and left as it was however the command ends. One at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "render/top_view.h"

namespace unfreed::cli {

class Screen {
 public:
  /// nullptr: `error` is one line for the user.
  static std::unique_ptr<Screen> open(std::string& error);
  /// The terminal is as it was.
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  size_t lines() const;
  size_t columns() const;
  void draw(const std::vector<render::ScreenLine>& lines);

  /// What happened first.
  enum class Event : uint8_t {
    key,
    resized,  ///< or to be drawn again for another reason
    time,     ///< `wait_ms` have passed
    end,      ///< a signal asks the command to end, or the terminal has gone
  };
  Event wait(int wait_ms, uint32_t& key);

 private:
  struct Terminal;
  explicit Screen(std::unique_ptr<Terminal> terminal);

  Event take_signal();
  void stop();

  std::unique_ptr<Terminal> terminal_;
};

}  // namespace unfreed::cli
