#include "report/json.h"

#include <gtest/gtest.h>

#include "support/ledger_builder.h"
#include "support/report_text.h"

namespace unfreed::report {
namespace {

using ledger::FdOrigin;
using ledger::Kind;
using test::LedgerBuilder;
using test::write;

TEST(Report, AnEmptyLedgerHasAllTheParts) {
  LedgerBuilder builder;
  builder.kernel_fd(0, "/dev/null");
  test::Report report = write(builder.view());
  EXPECT_TRUE(report.result.written);
  EXPECT_EQ(report.json["schema_version"], 1);
  EXPECT_EQ(report.json["tool"]["name"], "unfreed");
  EXPECT_EQ(report.json["process"]["argv"], nlohmann::json({"program", "--flag"}));
  EXPECT_EQ(report.json["process"]["started"], "2024-05-01T12:34:56.123456789Z");
  EXPECT_EQ(report.json["sites"].size(), 0u);
}

}  // namespace
}  // namespace unfreed::report
