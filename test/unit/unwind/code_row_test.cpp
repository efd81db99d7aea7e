// Rows found by reading code, compared with what the compiler's call frame information says of the same places.
#include "unwind/code_row.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "arch/instruction.h"
#include "unwind/eh_frame.h"
#include "unwind/objects.h"

namespace unfreed::unwind {
namespace {

using arch::Instruction;
using Effect = Instruction::Effect;

Instruction decoded(std::initializer_list<uint8_t> code) { return arch::decode({code.begin(), code.size()}); }

TEST(Instruction, MovesTheStackPointer) {
  struct {
    std::initializer_list<uint8_t> code;
    intptr_t by;
  } all[] = {
      {{0x53}, -8},                                         // push %rbx
      {{0x41, 0x57}, -8},                                   // push %r15
      {{0x5b}, 8},                                          // pop %rbx
      {{0x41, 0x5d}, 8},                                    // pop %r13
      {{0x6a, 0x01}, -8},                                   // push $1
      {{0x68, 1, 0, 0, 0}, -8},                             // push $1
      {{0xff, 0x75, 0x10}, -8},                             // push 16(%rbp)
      {{0x48, 0x83, 0xec, 0x18}, -24},                      // sub $24, %rsp
      {{0x48, 0x83, 0xc4, 0x18}, 24},                       // add $24, %rsp
      {{0x48, 0x83, 0xc4, 0x80}, -128},                     // add $-128, %rsp
      {{0x48, 0x81, 0xec, 0x00, 0x10, 0, 0}, -4096},        // sub $4096, %rsp
      {{0x48, 0x8d, 0x64, 0x24, 0x08}, 8},                  // lea 8(%rsp), %rsp
      {{0x48, 0x8d, 0xa4, 0x24, 0x00, 0x01, 0, 0}, 0x100},  // lea 256(%rsp), %rsp
  };
  for (const auto& one : all) {
    Instruction instruction = decoded(one.code);
    EXPECT_EQ(instruction.effect, Effect::moves_sp);
    EXPECT_EQ(instruction.bytes, one.code.size());
    EXPECT_EQ(instruction.value, one.by);
  }
}

TEST(Instruction, GoesOnElsewhere) {
  struct {
    std::initializer_list<uint8_t> code;
    Effect effect;
    intptr_t target;
  } all[] = {
      {{0xeb, 0xfe}, Effect::jumps, -2},
      {{0xe9, 0, 1, 0, 0}, Effect::jumps, 256},
      {{0x74, 0x10}, Effect::branches, 16},
      {{0x0f, 0x84, 0xf0, 0xff, 0xff, 0xff}, Effect::branches, -16},
      {{0xc3}, Effect::returns, 0},
      {{0xf3, 0xc3}, Effect::returns, 0},
      {{0xff, 0xe0}, Effect::returns, 0},              // jmp *%rax
      {{0xff, 0x25, 0, 0, 0, 0}, Effect::returns, 0},  // jmp *(%rip)
      {{0xf4}, Effect::stops, 0},                      // hlt
      {{0x0f, 0x0b}, Effect::stops, 0},                // ud2
      {{0xc9}, Effect::leaves, 0},
      {{0x5d}, Effect::pops_bp, 0},
      {{0x48, 0x89, 0xe5}, Effect::bp_is_sp, 0},        // mov %rsp, %rbp
      {{0x48, 0x89, 0xec}, Effect::sp_is_bp, 0},        // mov %rbp, %rsp
      {{0x48, 0x29, 0xc4}, Effect::loses_sp, 0},        // sub %rax, %rsp
      {{0x48, 0x83, 0xe4, 0xf0}, Effect::loses_sp, 0},  // and $-16, %rsp
      {{0x48, 0x83, 0xfc, 0x10}, Effect::none, 0},      // cmp $16, %rsp
      {{0x49, 0x83, 0xc4, 0x10}, Effect::none, 0},      // add $16, %r12
  };
  for (const auto& one : all) {
    Instruction instruction = decoded(one.code);
    EXPECT_EQ(instruction.effect, one.effect) << std::hex << int{*one.code.begin()};
    EXPECT_EQ(instruction.bytes, one.code.size()) << std::hex << int{*one.code.begin()};
    EXPECT_EQ(instruction.target, one.target);
  }
  EXPECT_EQ(decoded({0x48, 0x8d, 0x65, 0xe0}).value, -32);  // lea -32(%rbp), %rsp
  EXPECT_TRUE(decoded({0xe8, 0, 0, 0, 0}).calls);
  EXPECT_TRUE(decoded({0xff, 0x15, 0, 0, 0, 0}).calls);  // call *(%rip)
}

TEST(Instruction, IsNotReadBeyondTheEnd) {
  EXPECT_EQ(decoded({0xe9, 0, 0}).bytes, 0);
  EXPECT_EQ(decoded({0x48}).bytes, 0);
  EXPECT_EQ(decoded({}).bytes, 0);
  EXPECT_EQ(decoded({0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66}).bytes,
            0);
}

/// What glibc's functions say of themselves.
struct Comparison {
  Object libc;
  Row expected;
  bool is_accepted(const Row& row) const {
    return row.cfa == expected.cfa && row.cfa_offset == expected.cfa_offset && row.bp == expected.bp &&
           (row.bp == BpRule::same || row.bp_offset == expected.bp_offset);
  }
};

/// Of an ordinary function, at each of its instructions: found, and the first that was found is right.
void expect_same_rows(const void* function) {
  prepare_objects();
  prepare_code_reading();
  Comparison comparison;
  ASSERT_TRUE(find_object(reinterpret_cast<uintptr_t>(function), comparison.libc));
  auto start = reinterpret_cast<uintptr_t>(function);
  int compared = 0, without = 0;
  for (uintptr_t pc = start; find_function(comparison.libc.image, comparison.libc.eh_frame_hdr, pc) == start;) {
    comparison.expected = find_row(comparison.libc.image, comparison.libc.eh_frame_hdr, pc);
    auto first = [](void*, const Row&) { return true; };
    Row row = find_row_by_code(comparison.libc, pc, {&comparison, first});
    bool knows = comparison.expected.cfa == CfaRule::sp || comparison.expected.cfa == CfaRule::bp;
    if (row.cfa == CfaRule::none || row.cfa == CfaRule::end) {
      ++without;
    } else if (knows) {
      EXPECT_TRUE(comparison.is_accepted(row))
          << "at " << pc - start << ": " << row.cfa_offset << ", not " << comparison.expected.cfa_offset;
      ++compared;
    }
    Instruction next = arch::decode({reinterpret_cast<const uint8_t*>(pc), arch::kLongestInstruction});
    if (!next.bytes) break;
    pc += next.bytes;
  }
  EXPECT_GT(compared, 3);
  EXPECT_LE(without, 1);  // the call that does not return
}

extern "C" {
// Naked functions: their code is the same whatever the compiler.
void straight_code();
void code_with_branch();
void code_with_frame_pointer();
void code_with_abort();
}
asm(R"(
  .text
  .globl straight_code, code_with_branch, code_with_frame_pointer, code_with_abort
  .type straight_code, @function
straight_code:
  .cfi_startproc
  push %rbx
  .cfi_adjust_cfa_offset 8
  push %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset rbp, 0
  sub $24, %rsp
  .cfi_adjust_cfa_offset 24
  nop
  call getpid@PLT
  add $24, %rsp
  .cfi_adjust_cfa_offset -24
  pop %rbp
  .cfi_adjust_cfa_offset -8
  .cfi_restore rbp
  pop %rbx
  .cfi_adjust_cfa_offset -8
  ret
  .cfi_endproc
  .size straight_code, .-straight_code
  .type code_with_branch, @function
code_with_branch:
  .cfi_startproc
  sub $8, %rsp
  .cfi_adjust_cfa_offset 8
1: test %eax, %eax
  je 2f
  dec %eax
  jmp 1b
2: add $8, %rsp
  .cfi_adjust_cfa_offset -8
  jmp *%rdx
  .cfi_endproc
  .size code_with_branch, .-code_with_branch
  .type code_with_frame_pointer, @function
code_with_frame_pointer:
  .cfi_startproc
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset rbp, -16
  mov %rsp, %rbp
  .cfi_def_cfa_register rbp
  sub %rax, %rsp
  nop
  call getpid@PLT
  lea -16(%rbp), %rsp
  nop
  leave
  .cfi_def_cfa rsp, 8
  .cfi_restore rbp
  ret
  .cfi_endproc
  .size code_with_frame_pointer, .-code_with_frame_pointer
  .type code_with_abort, @function
code_with_abort:
  .cfi_startproc
  sub $40, %rsp
  .cfi_adjust_cfa_offset 40
  test %eax, %eax
  jne 1f
  call *abort@GOTPCREL(%rip)
  .cfi_adjust_cfa_offset 8
  add $8, %rsp  # belongs to other code
  .cfi_adjust_cfa_offset -8
1: add $40, %rsp
  .cfi_adjust_cfa_offset -40
  ret
  .cfi_endproc
  .size code_with_abort, .-code_with_abort
)");

TEST(CodeRow, IsWhatCallFrameInformationSays) {
  for (auto* function : {straight_code, code_with_branch, code_with_frame_pointer, code_with_abort}) {
    SCOPED_TRACE(reinterpret_cast<void*>(function));
    expect_same_rows(reinterpret_cast<const void*>(function));
  }
}

TEST(CodeRow, ComesFromTheWayThatLeadsToACaller) {
  prepare_objects();
  prepare_code_reading();
  Object object;
  auto start = reinterpret_cast<uintptr_t>(straight_code);
  ASSERT_TRUE(find_object(start, object));
  auto never = [](void*, const Row&) { return false; };
  Row none = find_row_by_code(object, start, {nullptr, never});
  EXPECT_EQ(none.cfa, CfaRule::none);
  EXPECT_TRUE(none.is_read_in_vain());
  EXPECT_TRUE(Row::unpack(none.pack()).is_read_in_vain());
  EXPECT_FALSE(Row().is_read_in_vain());
}

TEST(CodeRow, TakesReturnAddressesForWhatTheyAre) {
  prepare_objects();
  EXPECT_TRUE(
      is_return_address(reinterpret_cast<uintptr_t>(__builtin_extract_return_addr(__builtin_return_address(0)))));
  constexpr uintptr_t kBehindNop = 7;  // and behind nothing but this function's code
  EXPECT_FALSE(is_return_address(reinterpret_cast<uintptr_t>(straight_code) + kBehindNop));
  EXPECT_FALSE(is_return_address(16));
  int variable = 0;
  EXPECT_FALSE(is_return_address(reinterpret_cast<uintptr_t>(&variable)));
}

}  // namespace
}  // namespace unfreed::unwind
