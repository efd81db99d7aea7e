#include "names/demangle.h"

#include <gtest/gtest.h>
#include <time.h>

#include <memory>
#include <string>
#include <vector>

namespace unfreed::report {
namespace {

std::string demangled(std::string_view name) {
  static auto demangler = std::make_unique<Demangler>();
  return std::string(demangler->demangle(name).text);
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

TEST(Demangle, NamesOfRust) {
  EXPECT_EQ(demangled("_ZN4main5store8open_all17h0123456789abcdefE"), "main::store::open_all");
  EXPECT_EQ(
      demangled("_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$4drop17hb7d1c2f3a4e5f607E"),
      "<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop");
  EXPECT_EQ(demangled("_RINvNtCsdCHi3Z5fkNe_4main5store8open_allReEB4_"), "main::store::open_all::<&str>");
  EXPECT_EQ(demangled("_RNCNvCs1234_7mycrate3foo0"), "mycrate::foo::{closure#0}");
  EXPECT_EQ(demangled("_RNvCs1234_7mycrate3foo.llvm.1234567890"), "mycrate::foo");
  // Identifiers beyond ASCII are decoded in memory, which libiberty would take from malloc.
  EXPECT_EQ(demangled("_RNvC1au8gdel_5qa"), "a::gödel");
  // There it has its bounds, too.
  std::string large = "_RNvC1au15000yks" + std::string(14997, 'a');
  EXPECT_EQ(demangled(large), large);
}

TEST(Demangle, TellsTheLanguage) {
  auto demangler = std::make_unique<Demangler>();
  EXPECT_EQ(demangler->demangle("_Z1fv").language, Language::cpp);
  EXPECT_EQ(demangler->demangle("_ZN4main1f17h0123456789abcdefE").language, Language::rust);
  EXPECT_EQ(demangler->demangle("_RNvC1a1f").language, Language::rust);
  EXPECT_EQ(demangler->demangle("main").language, Language::unknown);
  EXPECT_EQ(demangler->demangle("_Znope").language, Language::unknown);
}

TEST(Demangle, WhatIsNotUnderstoodStaysAsItIs) {
  for (std::string_view name :
       {"main", "", "_Z", "_ZN", "_Z99f", "_Z1fS_", "_Z1fT_", "_Z1fIiEvT0_", "_Z1fi!", "_R", "_RNv", "i", "Pc"})
    EXPECT_EQ(demangled(name), name);
}

TEST(Demangle, CompilersSuffixesAreLeftAway) {
  EXPECT_EQ(demangled("_Z1fv.constprop.0"), "f()");
  EXPECT_EQ(demangled("_Z1fv.isra.0.cold"), "f()");
  EXPECT_EQ(demangled("copy.part.1"), "copy");
}

TEST(Demangle, CutsWhatCompilersAppend) {
  EXPECT_EQ(without_clone_suffix("run.isra.0"), "run");
  EXPECT_EQ(without_clone_suffix("run.part.3.cold"), "run");
  EXPECT_EQ(without_clone_suffix("run.llvm.12345"), "run");
  EXPECT_EQ(without_clone_suffix("run.particle"), "run.particle");
  EXPECT_EQ(without_clone_suffix(".part"), ".part");
  EXPECT_EQ(without_clone_suffix("_ZN36_$LT$A$u20$as$u20$core..clone..Clone$GT$5clone17h0123456789abcdefE.llvm.1"),
            "_ZN36_$LT$A$u20$as$u20$core..clone..Clone$GT$5clone17h0123456789abcdefE");
}

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::string number(size_t value) {
  static const char kDigits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  return (value >= 36 ? std::string(1, kDigits[value / 36]) : "") + kDigits[value % 36];
}

/// A<A<A<int,int>, A<int,int>>, …>: a type that doubles with each of `levels`, said in one parameter.
std::string doubling_type(size_t levels) {
  std::string type = "S_IiiE";
  for (size_t level = 0; level < levels; ++level) type = "S_I" + type + "S" + number(level) + "_E";
  return type;
}

/// Names whose text is endless, and names that take endless steps without writing anything.
std::vector<std::string> names_without_end() {
  std::string doubling = "_Z1f1AIiiE";
  for (size_t level = 0; level < 60; ++level) doubling += "S_IS" + number(level) + "_S" + number(level) + "_E";
  return {doubling, "_Z1f1ADp" + doubling_type(40), "_RNvXINvC1a1bFGzzzzzzzzz_EuEuC1b1f", "_RMC1aFGzzzzzzzz_Eu",
          "_RNvMINtC1a1bFGzzzzzzzzz_EuEC1b1f"};
}

TEST(Demangle, NamesWithoutEndCostLittle) {
  for (const std::string& name : names_without_end()) {
    double start = processor_seconds();
    EXPECT_EQ(demangled(name), name);
    EXPECT_LT(processor_seconds() - start, 0.2) << name;
    EXPECT_EQ(demangled("_Z1fv"), "f()");
  }
  // The second time they are known.
  double start = processor_seconds();
  for (int round = 0; round < 100; ++round)
    for (const std::string& name : names_without_end()) EXPECT_EQ(demangled(name), name);
  EXPECT_LT(processor_seconds() - start, 1);
}

TEST(Demangle, ManyNamesWithoutEndCostHalfASecond) {
  auto demangler = std::make_unique<Demangler>();
  double start = processor_seconds();
  for (size_t count = 0; count < 1000; ++count) {
    std::string name =
        "_Z" + std::to_string(number(count).size() + 1) + "f" + number(count) + "1ADp" + doubling_type(40);
    EXPECT_EQ(demangler->demangle(name).text, name);
  }
  EXPECT_LT(processor_seconds() - start, 3);
}

TEST(Demangle, DeepAndWideNamesFitTheStack) {
  for (size_t size : {Demangler::kLongestCppName, size_t{1024}}) {
    for (const char* start : {"_Z1f", "_Z1fI", "_Z", "_ZN", "_Z1fIX", "_RC", "_RINvC1a1b"})
      for (const char* part :
           {"P",    "F",     "N",     "X",      "L",   "cv", "nt", "PF", "st", "DT", "J",  "1aI",
            "1aIX", "L_Z1f", "cvT_I", "XL_Z1f", "M1a", "A_", "R",  "S",  "T",  "I",  "Nv", "XC1aC1a"}) {
        std::string name = start;
        while (name.size() + std::char_traits<char>::length(part) < size - 2) name += part;
        EXPECT_FALSE(demangled(name + "iE").empty());
      }
    // Room for a scope of template arguments for each reference, and in each scope for each template; both counted
    // twice.
    for (size_t share = 3; share < 8; ++share) {
      std::string name = "_Z1fIiEv1bI";
      for (size_t count = 0; name.size() < size - 10; ++count) name += count % 10 < share ? "RT_" : "1aIE";
      EXPECT_FALSE(demangled(name + "ES_").empty());
    }
  }
  std::string longer = "_Z1f" + std::string(100'000, 'P') + "i";
  EXPECT_EQ(demangled(longer), longer);
  std::string wide = "_Z1f" + std::string(900, 'i');
  EXPECT_TRUE(demangled(wide).starts_with("f(int, int, "));
}

TEST(Demangle, LongNamesOfTemplatesAreRead) {
  std::string name = "_Z1f";
  std::string text = "f(";
  while (name.size() < 3000) {
    name += "1aIiE";
    text += "a<int>, ";
  }
  EXPECT_EQ(demangled(name), text.substr(0, text.size() - 2) + ")");
}

}  // namespace
}  // namespace unfreed::report
