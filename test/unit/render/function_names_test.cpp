#include "render/function_names.h"

#include <gtest/gtest.h>

namespace unfreed::render {
namespace {

TEST(FunctionNames, StringsAreStrings) {
  EXPECT_EQ(short_function("service::Log::write(std::__cxx11::basic_string<char, std::char_traits<char>, "
                           "std::allocator<char> > const&)"),
            "service::Log::write(std::string const&)");
  EXPECT_EQ(short_function("f[abi:cxx11](std::basic_string_view<char, std::char_traits<char> >)"),
            "f(std::string_view)");
}

TEST(FunctionNames, DefaultArgumentsAreLeftAway) {
  EXPECT_EQ(short_function("std::vector<int, std::allocator<int> >::push_back(int const&)"),
            "std::vector<int>::push_back(int const&)");
  EXPECT_EQ(
      short_function("std::map<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, "
                     "std::vector<int, std::allocator<int> >, std::less<std::__cxx11::basic_string<char, "
                     "std::char_traits<char>, std::allocator<char> > >, std::allocator<std::pair<int const, int> > "
                     ">::clear()"),
      "std::map<std::string, std::vector<int>>::clear()");
  EXPECT_EQ(short_function("std::allocator<int>::allocate(unsigned long)"),
            "std::allocator<int>::allocate(unsigned long)");
  EXPECT_EQ(short_function("pool<std::allocator<int> >::take()"), "pool<std::allocator<int>>::take()");
}

TEST(FunctionNames, LambdasAreNumbers) {
  EXPECT_EQ(short_function("main::{lambda()#1}::operator()() const"), "main::{lambda#1}");
  EXPECT_EQ(
      short_function("A::run(int)::{lambda(int, std::vector<int, std::allocator<int> >)#2}::operator()(int) const"),
      "A::run(int)::{lambda#2}");
  EXPECT_EQ(short_function("g::{lambda(auto:1)#1}::operator()<int>(int) const"), "g::{lambda#1}");
}

TEST(FunctionNames, OperatorsAreNoBrackets) {
  EXPECT_EQ(short_function("A::operator<(A const&) const"), "A::operator<(A const&) const");
  EXPECT_EQ(short_function("A& operator<< <A>(A&, int)"), "A& operator<< <A>(A&, int)");
  EXPECT_EQ(short_function("A::operator->() const"), "A::operator->() const");
  EXPECT_EQ(short_function("f<(a<b)>()"), "f<(a<b)>()");
}

TEST(FunctionNames, LongParameterListsAreCut) {
  std::string many = "service::Dispatcher::handle(";
  for (int i = 0; i < 12; ++i) many += "unsigned long, ";
  EXPECT_EQ(short_function(many + "int) const"), "service::Dispatcher::handle(…) const");
  EXPECT_EQ(short_function("main"), "main");
  EXPECT_EQ(short_function(""), "");
}

}  // namespace
}  // namespace unfreed::render
