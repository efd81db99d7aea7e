#include "report/demangle.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace unfreed::report {
namespace {

std::string demangled(std::string_view name) {
  static auto demangler = std::make_unique<Demangler>();
  return std::string(demangler->demangle(name));
}

TEST(Demangle, FunctionsAndMethods) {
  EXPECT_EQ(demangled("_Z1fv"), "f()");
  EXPECT_EQ(
      demangled("_ZN7service3Log5writeERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"),
      "service::Log::write(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const&)");
  EXPECT_EQ(demangled("_ZNSt6vectorIiSaIiEED2Ev"), "std::vector<int, std::allocator<int> >::~vector()");
  EXPECT_EQ(demangled("_ZNK1A3getEv"), "A::get() const");
  EXPECT_EQ(demangled("_ZNKR1A3getEv"), "A::get() const &");
  EXPECT_EQ(demangled("_ZN12_GLOBAL__N_15tableE"), "(anonymous namespace)::table");
}

TEST(Demangle, Types) {
  EXPECT_EQ(demangled("_Z1fPFviE"), "f(void (*)(int))");
  EXPECT_EQ(demangled("_Z1fRA3_KcPA_d"), "f(char const (&) [3], double (*) [])");
  EXPECT_EQ(demangled("_Z1fM1AKFivE"), "f(int (A::*)() const)");
  EXPECT_EQ(demangled("_Z1fIiEPFvT_Ec"), "void (*f<int>(char))(int)");
  EXPECT_EQ(demangled("_Z1fIRiEvOT_"), "void f<int&>(int&)");
  EXPECT_EQ(demangled("_Z1fPVKcDnz"), "f(char const volatile*, decltype(nullptr), ...)");
}

TEST(Demangle, TemplatesAndPacks) {
  EXPECT_EQ(demangled("_Z1fIJicEEvDpT_"), "void f<int, char>(int, char)");
  EXPECT_EQ(demangled("_Z1fIJEEvDpT_"), "void f<>()");
  EXPECT_EQ(demangled("_Z1fILi3ELb1ELc97EEvv"), "void f<3, true, (char)97>()");
  EXPECT_EQ(demangled("_ZN1AcvT_IiEEv"), "A::operator int<int>()");
  EXPECT_EQ(demangled("_ZlsI1AERS0_S1_i"), "A& operator<< <A>(A&, int)");
  EXPECT_EQ(demangled("_ZNSt6vectorISt5tupleIJjjEESaIS1_EE3addIJRKS1_EEEvDpOT_"),
            "void std::vector<std::tuple<unsigned int, unsigned int>, std::allocator<std::tuple<unsigned int, unsigned "
            "int> > >::add<std::tuple<unsigned int, unsigned int> const&>(std::tuple<unsigned int, unsigned int> "
            "const&)");
}

TEST(Demangle, LocalNamesAndLambdas) {
  EXPECT_EQ(demangled("_ZZ4mainENKUlvE_clEv"), "main::{lambda()#1}::operator()() const");
  EXPECT_EQ(demangled("_ZZN1A1fEiENKUlT_E0_clIcEEDaS0_"),
            "auto A::f(int)::{lambda(auto:1)#2}::operator()<char>(char) const");
  EXPECT_EQ(demangled("_ZZ1fvE5state_0"), "f()::state");
  EXPECT_EQ(demangled("_ZGVZ1fvE5state"), "guard variable for f()::state");
  EXPECT_EQ(demangled("_ZThn16_N1A1fEv"), "non-virtual thunk to A::f()");
}

TEST(Demangle, WhatIsNotUnderstoodStaysAsItIs) {
  for (std::string_view name :
       {"main", "", "_Z", "_ZN", "_Z99f", "_Z1fS_", "_Z1fT_", "_Z1fIiEvT0_", "_Z1fi!"})
    EXPECT_EQ(demangled(name), name);
}

TEST(Demangle, CompilersSuffixesAreLeftAway) {
  EXPECT_EQ(demangled("_Z1fv.constprop.0"), "f()");
  EXPECT_EQ(demangled("_Z1fv.isra.0.cold"), "f()");
  EXPECT_EQ(demangled("copy.part.1"), "copy");
}

TEST(Demangle, NamesWithoutEndCostLittle) {
  // Deep, wide, and a name that doubles in length with every part.
  std::string deep = "_Z1f" + std::string(100'000, 'P') + "i";
  EXPECT_EQ(demangled(deep), deep);
  std::string wide = "_Z1f" + std::string(100'000, 'i');
  EXPECT_EQ(demangled(wide), wide);
  std::string doubling = "_Z1f1AIiiE";
  for (std::string part = "S0_"; doubling.size() < 400;) {
    doubling += "S_I" + part + part + "E";
    static const char kDigits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    part = std::string("S") + kDigits[std::min<size_t>(doubling.size() / 12, 35)] + "_";
  }
  EXPECT_LE(demangled(doubling).size(), 8192u);
}

}  // namespace
}  // namespace unfreed::report
