#include "render/function_names.h"

#include <gtest/gtest.h>

namespace unfreed::render {
namespace {

TEST(FunctionNames, LongParameterListsAreCut) {
  std::string many = "service::Dispatcher::handle(";
  for (int i = 0; i < 12; ++i) many += "unsigned long, ";
  EXPECT_EQ(fit_function(many + "int) const"), "service::Dispatcher::handle(…) const");
  EXPECT_EQ(fit_function("service::Dispatcher::handle(unsigned long, int) const"),
            "service::Dispatcher::handle(unsigned long, int) const");
  EXPECT_EQ(fit_function("main"), "main");
  EXPECT_EQ(fit_function(""), "");
}

}  // namespace
}  // namespace unfreed::render
