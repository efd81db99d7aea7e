// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace unfreed::render {

std::string write_count(uint64_t count);           ///< 1,234,567
std::string write_bytes(uint64_t bytes);           ///< 917 B, 1.2 KiB, 98 MiB
std::string write_duration(uint64_t nanoseconds);  ///< 0.4 ms, 1.2 s, 3 min 20 s, 5 h 2 min, 12 d 4 h
/// "1 thread", "3 threads"
std::string write_number_of(uint64_t count, std::string_view thing);

}  // namespace unfreed::render
