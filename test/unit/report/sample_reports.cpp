// Writes reports over ledgers of many shapes into a folder: input for validate_samples.py.
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <iostream>
#include <random>
#include <string>

#include "support/full_ledger.h"
#include "support/report_text.h"

namespace {

using namespace unfreed;

std::string directory;

void save(const std::string& name, const std::string& text) { std::ofstream(directory + "/" + name + ".json") << text; }

void write_full(const std::string& name, report::ReportInput input, void (*change)(test::LedgerBuilder&)) {
  test::LedgerBuilder builder;
  test::fill(builder);
  change(builder);
  report::Settings settings;
  report::ParseError error;
  parse_rules("fd>0,site.fd>=10,heap.bytes>1M,thread.running>0,fd.unattributed>0", settings.rules, error);
  input.settings = &settings;
  report::Suppression suppressions[2];
  size_t count = 0;
  size_t line = 0;
  parse_suppressions("thread:f104\n", suppressions, count, error, line);
  input.suppressions = {suppressions, count};
  input.resolver = test::numbered_resolver();
  save(name, test::write(builder.view(), input).text);
  input.all_sites = true;
  input.resolver = {};
  save(name + "-all", test::write(builder.view(), input).text);
}

/// Reports over ledgers with random damage: whatever the ledger, the report is valid.
void write_damaged() {
  std::mt19937_64 random(99);
  for (int round = 0; round < 60; ++round) {
    test::LedgerBuilder builder;
    test::fill(builder);
    for (size_t index = 0; index < ledger::kSectionCount; ++index) {
      const ledger::Section& section = builder.header().sections[index];
      auto* bytes = builder.writer().at<std::byte>(static_cast<ledger::SectionId>(index), 0);
      size_t size = section.count * section.record_bytes;
      for (int change = 0; change < 12 && size > 0; ++change) bytes[random() % size] = static_cast<std::byte>(random());
    }
    save("damaged-" + std::to_string(round), test::write(builder.view()).text);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: sample_reports DIRECTORY\n";
    return 2;
  }
  directory = argv[1];
  report::ReportInput input;
  write_full("exit", input, [](test::LedgerBuilder&) {});
  input.wait_status = W_EXITCODE(3, 0);
  write_full("status", input, [](test::LedgerBuilder&) {});
  input.wait_status = W_EXITCODE(0, SIGKILL);
  input.trigger = report::Trigger::post_mortem;
  write_full("killed", input, [](test::LedgerBuilder& builder) { builder.header().flags = 0; });
  input = {};
  input.trigger = report::Trigger::snapshot;
  write_full("fd-only", input, [](test::LedgerBuilder& builder) { builder.header().kinds_tracked = 1; });
  write_full("heap-unseen", input, [](test::LedgerBuilder& builder) {
    builder.header().coverage[1] = static_cast<uint8_t>(ledger::Coverage::unavailable);
    builder.header().dropped[0] = 5;
    builder.header().flags |= ledger::kHeaderFlagPrivate | ledger::kHeaderFlagForked;
  });
  // With so many stacks they are in a table.
  write_full("many", {}, [](test::LedgerBuilder& builder) {
    for (uint32_t at = 0; at < 120; ++at) {
      uint32_t leaf = builder.stack({{1, 1000 + at}, {1, 11}});
      builder.open_fd(1000 + at, ledger::FdOrigin::acquired, builder.site(ledger::Kind::fd, 0, leaf), "/tmp/many");
    }
  });
  test::LedgerBuilder idle;
  save("idle", test::write(idle.view()).text);
  write_damaged();
  return 0;
}
