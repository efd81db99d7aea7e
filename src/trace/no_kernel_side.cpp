// Instead of kernel_side.cpp, where clang or libbpf were missing when this was built.
#include "trace/kernel_side.h"

namespace unfreed::trace {

std::unique_ptr<KernelSide> KernelSide::load(const KernelOptions&, Handler, std::string& problem) {
  problem = "--backend=ebpf is not in this build: it was made without libbpf, or without clang";
  return nullptr;
}

}  // namespace unfreed::trace
