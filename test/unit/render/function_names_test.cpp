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

TEST(FunctionNames, SharedObjectsAreShownByTheirOwnType) {
  EXPECT_EQ(fit_type("std::_Sp_counted_ptr_inplace<Session, std::allocator<void>, (__gnu_cxx::_Lock_policy)2>"),
            "Session");
  EXPECT_EQ(fit_type("std::_Sp_counted_ptr_inplace<std::pair<int, A>, std::allocator<void>, 2>"), "std::pair<int, A>");
  EXPECT_EQ(fit_type("std::__1::__shared_ptr_emplace<Session>"), "Session");
  EXPECT_EQ(fit_type("std::_Sp_counted_ptr<A*, 2>"), "std::_Sp_counted_ptr<A*, 2>");
  EXPECT_EQ(fit_type("std::_Sp_counted_ptr_inplace<"), "");
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
