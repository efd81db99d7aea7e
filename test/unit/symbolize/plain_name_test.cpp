#include "symbolize/plain_name.h"

#include <gtest/gtest.h>

namespace unfreed::symbolize {
namespace {

TEST(PlainName, IsTheSameForAllInstances) {
  EXPECT_EQ(plain_name("int pool::take<char const*>(std::vector<int, std::allocator<int> > const&)"), "pool::take");
  EXPECT_EQ(plain_name("double pool::take<double>(std::vector<int> const&)"), "pool::take");
  EXPECT_EQ(plain_name("Channel<char>::make()"), "Channel::make");
  EXPECT_EQ(plain_name("Channel<std::pair<int, Box<char> > >::make() const"), "Channel::make");
  EXPECT_EQ(plain_name("make<int>"), "make");
  EXPECT_EQ(plain_name("decltype(auto) run<(Mode)1>(int)"), "run");
}

TEST(PlainName, PartsOfScopesStay) {
  EXPECT_EQ(plain_name("A::run(int) const::{lambda(int)#2}::operator()(int) const"), "A::run::{lambda#2}::operator()");
  EXPECT_EQ(plain_name("(anonymous namespace)::open_all(char const*)"), "(anonymous namespace)::open_all");
  EXPECT_EQ(plain_name("n::f[abi:cxx11](int)"), "n::f");
  EXPECT_EQ(plain_name("main"), "main");
}

TEST(PlainName, OperatorsAreNames) {
  EXPECT_EQ(plain_name("A& operator<< <A>(A&, int)"), "operator<<");
  EXPECT_EQ(plain_name("bool A::operator<(A const&) const"), "A::operator<");
  EXPECT_EQ(plain_name("A::operator->() const"), "A::operator->");
  EXPECT_EQ(plain_name("A::operator()(int)"), "A::operator()");
  EXPECT_EQ(plain_name("A::operator[](int)"), "A::operator[]");
  EXPECT_EQ(plain_name("Pool<int>::operator new[](unsigned long)"), "Pool::operator new[]");
  EXPECT_EQ(plain_name("Box<int>::operator int() const"), "Box::operator");
  EXPECT_EQ(plain_name("Box<int>::operator Box<double>() const"), "Box::operator");
  EXPECT_EQ(plain_name("operators::open(int)"), "operators::open");
}

TEST(PlainName, RustsNamesKeepTheirTypes) {
  EXPECT_EQ(plain_name("<store::Log<u8> as core::ops::drop::Drop>::drop"),
            "<store::Log as core::ops::drop::Drop>::drop");
  EXPECT_EQ(plain_name("services::store::open_all::<&str>"), "services::store::open_all");
  EXPECT_EQ(plain_name("<services::store::Store>::open::{closure#0}"), "<services::store::Store>::open::{closure#0}");
}

TEST(PlainName, WhatCannotBeReadStays) {
  for (const char* name : {"", "f(", "a<b", "x>y", "{", "f)(", "Cell<(a<b)>::open()"})
    EXPECT_EQ(plain_name(name), name);
}

}  // namespace
}  // namespace unfreed::symbolize
