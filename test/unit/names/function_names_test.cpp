#include "names/function_names.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace unfreed::report {
namespace {

std::string spelled(std::string_view name) {
  static std::vector<char> storage(Demangler::kLongestText);
  return std::string(spell_function(name, storage));
}

TEST(FunctionNames, StringsAreStrings) {
  EXPECT_EQ(spelled("service::Log::write(std::__cxx11::basic_string<char, std::char_traits<char>, "
                    "std::allocator<char> > const&)"),
            "service::Log::write(std::string const&)");
  EXPECT_EQ(spelled("f[abi:cxx11](std::basic_string_view<char, std::char_traits<char> >)"), "f(std::string_view)");
}

TEST(FunctionNames, DefaultArgumentsAreLeftAway) {
  EXPECT_EQ(spelled("std::vector<int, std::allocator<int> >::push_back(int const&)"),
            "std::vector<int>::push_back(int const&)");
  EXPECT_EQ(spelled("std::map<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, "
                    "std::vector<int, std::allocator<int> >, std::less<std::__cxx11::basic_string<char, "
                    "std::char_traits<char>, std::allocator<char> > >, std::allocator<std::pair<int const, int> > "
                    ">::clear()"),
            "std::map<std::string, std::vector<int>>::clear()");
  EXPECT_EQ(spelled("std::allocator<int>::allocate(unsigned long)"), "std::allocator<int>::allocate(unsigned long)");
  EXPECT_EQ(spelled("pool<std::allocator<int> >::take()"), "pool<std::allocator<int>>::take()");
}

TEST(FunctionNames, LambdasAreNumbers) {
  EXPECT_EQ(spelled("main::{lambda()#1}::operator()() const"), "main::{lambda#1}");
  EXPECT_EQ(spelled("A::run(int)::{lambda(int, std::vector<int, std::allocator<int> >)#2}::operator()(int) const"),
            "A::run(int)::{lambda#2}");
  EXPECT_EQ(spelled("g::{lambda(auto:1)#1}::operator()<int>(int) const"), "g::{lambda#1}");
}

TEST(FunctionNames, OperatorsAreNoBrackets) {
  EXPECT_EQ(spelled("A::operator<(A const&) const"), "A::operator<(A const&) const");
  EXPECT_EQ(spelled("A& operator<< <A>(A&, int)"), "A& operator<< <A>(A&, int)");
  EXPECT_EQ(spelled("A::operator->() const"), "A::operator->() const");
  EXPECT_EQ(spelled("f<(a<b)>()"), "f<(a<b)>()");
}

TEST(FunctionNames, TheLibrarysOwnNamespacesAndTagsAreLeftOut) {
  EXPECT_EQ(spelled("std::filesystem::__cxx11::path::parent_path() const"),
            "std::filesystem::path::parent_path() const");
  EXPECT_EQ(spelled("f(std::__1::basic_string<char, std::__1::char_traits<char>, std::__1::allocator<char> >)"),
            "f(std::string)");
  EXPECT_EQ(spelled("(anonymous namespace)::open_all()"), "open_all()");
  EXPECT_EQ(spelled("my__1::f(int)"), "my__1::f(int)");
}

TEST(FunctionNames, CharactersTemplatesHaveShortNames) {
  EXPECT_EQ(spelled("std::basic_ofstream<char, std::char_traits<char> >::open(char const*, std::_Ios_Openmode)"),
            "std::ofstream::open(char const*, std::_Ios_Openmode)");
  EXPECT_EQ(spelled("f(std::basic_string<wchar_t, std::char_traits<wchar_t>, std::allocator<wchar_t> >)"),
            "f(std::basic_string<wchar_t>)");
  EXPECT_EQ(spelled("my::basic_string<char>::f()"), "my::basic_string<char>::f()");
}

TEST(FunctionNames, LambdasInLambdas) {
  EXPECT_EQ(spelled("f(int)::{lambda()#1}::operator()() const::{lambda(int)#2}::operator()(int) const"),
            "f(int)::{lambda#1}::{lambda#2}");
  EXPECT_EQ(spelled("void std::__invoke_impl<void, main::{lambda(int)#1}, int>(std::__invoke_other, "
                    "main::{lambda(int)#1}&&, int&&)"),
            "void std::__invoke_impl<void, main::{lambda#1}, int>(std::__invoke_other, main::{lambda#1}&&, int&&)");
}

TEST(FunctionNames, WhatHasNoBracketsOrTooManyStaysAsItIs) {
  for (std::string_view name : {"main", "", "operator", "f(", "f)", "f<(]>", "a>b", "{lambda(", ">", ",", "f<,,>"})
    spelled(name);
  EXPECT_EQ(spelled("main"), "main");
  EXPECT_EQ(spelled("f)"), "f)");
  EXPECT_EQ(spelled("f<(]>"), "f<(]>");
  std::string deep = "std::vector<int, std::allocator<int> >" + std::string(50'000, '<');
  EXPECT_EQ(spelled(deep), deep);
  std::vector<char> small(8);
  EXPECT_EQ(spell_function("std::vector<int, std::allocator<int> >", small), "std::vector<int, std::allocator<int> >");
}

TEST(FunctionNames, OfLinkedNamesBothFormsAreKnown) {
  auto names = std::make_unique<FunctionNames>();
  FunctionName name = names->of("_ZN7service3Log5writeERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE.part.0");
  EXPECT_EQ(name.shown, "service::Log::write(std::string const&)");
  EXPECT_EQ(name.full,
            "service::Log::write(std::__cxx11::basic_string<char, std::char_traits<char>, "
            "std::allocator<char> > const&)");
  name = names->of("_RNvMs_C5storeNtB4_5Store8open_all");
  EXPECT_EQ(name.shown, "<store::Store>::open_all");
  EXPECT_EQ(name.full, name.shown);
  EXPECT_EQ(names->of("main").shown, "main");
  EXPECT_EQ(names->of("_Znope").shown, "_Znope");
}

}  // namespace
}  // namespace unfreed::report
