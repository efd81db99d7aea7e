// The tables are those that CPython 3.9, 3.10, 3.11 and 3.13 make of one function, which begins in line 2; the lines
// are what its own co_lines() (dis.findlinestarts() for 3.9) says of each instruction.
#include "track/python_lines.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "support/exact_bytes.h"

namespace unfreed::track {
namespace {

constexpr uint32_t kFirstLine = 2;

std::vector<uint8_t> bytes_of(std::string_view hexadecimal) {
  std::vector<uint8_t> bytes;
  for (size_t at = 0; at + 1 < hexadecimal.size(); at += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoi(std::string(hexadecimal.substr(at, 2)), nullptr, 16)));
  return bytes;
}

struct Known {
  PythonLineForm form;
  const char* table;
  std::vector<uint32_t> lines;
};

const Known kKnown[] = {
    {PythonLineForm::lnotab,
     "0002060106fe0404080102010c010c010804020102ff",
     {4, 4, 4, 5, 5, 5, 3, 3, 7, 7, 7, 7, 8, 9, 9, 9, 9, 9, 9, 10, 10, 10, 10, 10, 10, 11, 11, 11, 11, 15, 16, 15, 15}},
    {PythonLineForm::ranges,
     "0602060104fe080402010c010c01040102ff0205020104ff",
     {4, 4, 4, 5, 5, 5, 3, 3, 7, 7, 7, 7, 8, 9, 9, 9, 9, 9, 9, 10, 10, 10, 10, 10, 10, 11, 11, 10, 15, 16, 15, 15}},
    {PythonLineForm::locations,
     "8000e008098801882189048c04d808098801882189048c04f0050309068041f008000e0ff000040511f0000405118801f002030911d80c0d8"
     "8"
     "41886189448c4488448844f8dd0f16f000010911f000010911f000010911d80c108844f003010911f8f8f8f00a000d0ed80c0df003010c0ff"
     "0"
     "0001050f",
     {2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5,  5,  5,  5,  5,  5,  5,  5,  5,  5,  3,  3,  7, 7, 7, 7,  8,  9,  9,
      9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 10, 10, 10, 10, 10, 10, 10, 10, 10, 11, 11, 10, 0, 0, 0, 15, 16, 15, 15}},
    {PythonLineForm::locations,
     "8000e1080988218b04d9080988218b04f0050309068041f308000e0f8801f002030911d90c0d88618e44f105000e0ff010000d0ed80c0df00"
     "3"
     "010c0ff00001050ff8f40b001017f300010911da0c10f003010911fa",
     {2, 4, 4, 4, 4, 4, 4, 4,  5,  5,  5,  5, 5,  5,  5,  3,  3,  7,  7,  7,  7,  7,  8,  9,  9,  9, 9, 9,
      9, 9, 9, 9, 9, 7, 7, 15, 16, 15, 15, 0, 10, 10, 10, 10, 10, 10, 10, 10, 10, 11, 11, 11, 10, 0, 0, 0}},
};

TEST(PythonLines, AreThoseThatPythonSays) {
  for (const Known& known : kKnown) {
    std::vector<uint8_t> table = bytes_of(known.table);
    for (uint32_t at = 0; at < known.lines.size(); ++at)
      EXPECT_EQ(python_line(known.form, table, kFirstLine, at * 2), known.lines[at])
          << "form " << static_cast<int>(known.form) << ", instruction " << at;
  }
}

/// Of more than six bits, and of the thirty-two that fit; what is longer is no table of CPython's.
TEST(PythonLines, MayBeFarApart) {
  struct {
    const char* table;  // form 14: the line's difference, twice, its sign in the lowest bit; one unit
    uint32_t line;
  } cases[] = {{"f03e", 33}, {"f04803", 102}, {"f04903", 0}, {"f04001", 34}, {"f040404002", 262146}};
  for (auto& one : cases)
    EXPECT_EQ(python_line(PythonLineForm::locations, bytes_of(one.table), kFirstLine, 0), one.line) << one.table;
  EXPECT_EQ(python_line(PythonLineForm::locations, bytes_of("f04803"), 200, 0), 300u);
  EXPECT_EQ(python_line(PythonLineForm::locations, bytes_of("f04903"), 200, 0), 100u);
}

TEST(PythonLines, AnInstructionMayHaveNone) {
  const uint8_t table[] = {4, 1, 2, 0x80, 2, 1, 2, 0xf0};
  for (auto [instruction, line] : {std::pair{0u, 3u}, {2u, 3u}, {4u, 0u}, {6u, 4u}, {8u, 0u}, {10u, 0u}})
    EXPECT_EQ(python_line(PythonLineForm::ranges, table, kFirstLine, instruction), line) << instruction;
}

TEST(PythonLines, OfDamagedTablesAreReadWithinBounds) {
  for (const Known& known : kKnown) {
    std::vector<uint8_t> table = bytes_of(known.table);
    test::ExactBytes room(table);
    uint32_t random = 1;
    for (int round = 0; round < 2000; ++round) {
      random = random * 1664525 + 1013904223;
      std::span<uint8_t> damaged = room.get().last(random % (table.size() + 1));
      std::copy_n(table.begin(), damaged.size(), damaged.begin());
      if (!damaged.empty()) damaged[(random >> 8) % damaged.size()] = static_cast<uint8_t>(random >> 16);
      python_line(known.form, damaged, kFirstLine, random >> 20);
      python_line(known.form, damaged, 0, UINT32_MAX);
    }
    EXPECT_EQ(python_line(PythonLineForm::ranges, {}, kFirstLine, 0), 0u);
  }
}

}  // namespace
}  // namespace unfreed::track
