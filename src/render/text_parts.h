// Parts of the text summary, and what they share.
// Internal to this folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "render/frames.h"
#include "render/text.h"

namespace unfreed::render {

enum class Tint : uint8_t { bold, red, yellow, faint };
std::string tinted(std::string_view text, Tint tint, bool colour);

std::string join(const std::vector<std::string>& parts, std::string_view between);

/// "exited with status 0 after 2.1 s"
std::string describe_end(const report::Report& report);
/// "detached, waiting"
std::string describe_state(const report::Thread& thread);
/// Of a report with failed calls: the site that held most descriptors when most were held, where little of it is left;
/// it explains the limit. nullptr: none.
const report::Site* find_peak(const report::Report& report);
/// "1,020 descriptors at the peak, mostly closed since"
std::string describe_peak(const report::Site& site);

/// A frame in a line of no more than `columns`.
std::string render_frame(const ShownFrame& shown, const TextOptions& options, size_t columns);
/// The frames worth showing, one per line.
std::string render_frames(const report::Report& report, report::StackId stack, const TextOptions& options,
                          std::string_view indent);

/// Threads that hold something, with where they are blocked.
std::string render_threads(const report::Report& report, const TextOptions& options);
/// Goroutines that hold something, or that are many, with where they wait.
std::string render_goroutines(const report::Report& report, const TextOptions& options);
/// Call sites whose threads accumulate.
std::string render_growth(const report::Report& report, const TextOptions& options);
/// A function with file and line, as in a stack; "" unknown.
std::string describe_function(const report::Report& report, report::CallId call, const TextOptions& options);
/// "descriptor 7 was closed twice"
std::string describe_misuse(const report::Misuse& misuse);
/// The calls that explain it, the latest first.
struct TitledCall {
  std::string_view title;
  const std::optional<report::ClosingCall>* call;  ///< has a value; of the misuse, for whose life
};
std::vector<TitledCall> closing_calls(const report::Misuse& misuse);
/// Is it among the invalid closes that `misuse>0` counts? Some is done on purpose, and has rules of its own.
bool counts(const report::Misuse& misuse);
/// "descriptor 5 (/etc/passwd) was inherited by /bin/ls"
std::string describe_exec_leak(const report::ExecLeak& leak, const TextOptions& options);
/// Invalid closes of descriptors.
std::string render_misuse(const report::Report& report, const TextOptions& options);
/// Descriptors that other programs inherited.
std::string render_exec_leaks(const report::Report& report, const TextOptions& options);

/// Suppressed resources, with the reason for each.
std::string render_suppressed(const report::Report& report, const TextOptions& options);

}  // namespace unfreed::render
