// unfreed export: what all tracked processes of this machine hold, for Prometheus.
#include <fmt/format.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/machine_metrics.h"
#include "cli/metrics_server.h"
#include "cli/settings_input.h"
#include "cli/suppression_files.h"
#include "cli/text_file.h"

namespace unfreed::cli {

int export_command(const Arguments& arguments) {
  Parser parser(
      "export", "[OPTIONS]",
      "Writes what the tracked processes of this machine hold, with their worst call sites, as OpenMetrics: "
      "once, or with --listen over HTTP, as /metrics, whenever Prometheus asks. Processes are those that "
      "`unfreed list` shows. They are neither stopped nor signalled nor slowed down: their ledgers are read.");
  std::vector<std::string> addresses;
  std::string output;
  OutputOptions output_options;
  std::string source_root;
  SettingsInput input;
  parser.values(
      "--listen", "ADDRESS:PORT", addresses,
      "serve http://ADDRESS:PORT/metrics until SIGTERM or ^C: 127.0.0.1:9117, [::1]:9117, localhost:9117 (may "
      "be given several times; port 0: any that is free)");
  parser.value("-o,--output", "FILE", output,
               "write to FILE, for node_exporter's textfile collector (default: standard output)");
  parser.flag("--force", output_options.replaces_anything, kForceHelp);
  parser.value("--source-root", "DIRECTORY", source_root,
               "where the sources are; source paths are relative to DIRECTORY (default: the CI's checkout, or the Git "
               "working tree)");
  input.add_options(parser, {"suppressions"});
  parser.footer(
      "Who can reach the address can read the page: names of programs, functions and source files. There is no "
      "encryption and no password. Exit status: 0; 125 if the address cannot be listened on or FILE cannot be "
      "written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!input.read()) return kFailure;
  std::string error;
  SuppressionFiles suppressions;
  if (!suppressions.read(input.settings().suppressions, NamedBy::user, error)) {
    complain(error);
    return kFailure;
  }
  if (!addresses.empty() && !output.empty()) {
    complain("--listen and --output exclude each other");
    return kFailure;
  }
  render::SourceRoot root = source_root.empty() ? render::SourceRoot::here()
                                                : render::SourceRoot(std::filesystem::absolute(source_root).string());
  MachineMetrics metrics(input.settings(), std::move(root));
  if (addresses.empty()) {
    if (write_report_file(output.empty() ? "-" : output, metrics.make(false), output_options, error)) return kSuccess;
    complain(fmt::format("{} cannot be written: {}", output.empty() ? "standard output" : output, error));
    return kFailure;
  }
  MetricsServer server([&metrics](const std::atomic<bool>& is_ending) { return metrics.make(is_ending); });
  for (const std::string& address : addresses)
    if (!server.listen(address, error)) {
      complain(error);
      return kFailure;
    }
  for (const std::string& url : server.urls()) complain("serving " + url);
  if (server.run(error)) return kSuccess;
  complain(error);
  return kFailure;
}

}  // namespace unfreed::cli
