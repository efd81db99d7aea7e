// vfork: aarch64. Included by hook/vfork.cpp.
#pragma once

// Elsewhere vfork becomes what POSIX lets it be: fork. Slower, and safe.
#include <unistd.h>
extern "C" __attribute__((visibility("default"))) pid_t vfork() noexcept { return fork(); }
extern "C" __attribute__((visibility("default"))) pid_t __vfork() noexcept { return fork(); }
