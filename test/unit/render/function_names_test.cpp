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

TEST(FunctionNames, TemplateArgumentsAndResultsAreLeftOut) {
  std::string deep = "std::map<int, ";
  for (int i = 0; i < 20; ++i) deep += "std::vector<";
  deep += "int";
  for (int i = 0; i < 20; ++i) deep += ">";
  deep += ">";
  EXPECT_EQ(fit_function(deep + " pool::take<" + deep + ">(" + deep + " const&)"), "std::map<…> pool::take<…>(…)");
  EXPECT_EQ(fit_function(deep + " pool::take<" + deep + ">(int)", 20), "pool::take<…>(…)");
  EXPECT_EQ(fit_function("A::operator<<(" + deep + ")", 30), "A::operator<<(…)");
  EXPECT_EQ(fit_function(std::string(300, 'f')), std::string(99, 'f') + "…");
}

TEST(FunctionNames, ColumnsAreCharacters) {
  EXPECT_EQ(columns_of("a…b"), 3u);
  EXPECT_EQ(cut_to("…….…", 3),
            "……"
            "…");
  EXPECT_EQ(cut_to("abc", 3), "abc");
}

}  // namespace
}  // namespace unfreed::render
