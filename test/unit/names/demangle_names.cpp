// Reads names, a line each, and writes what they are demangled to: for check_demangle.py.
#include <iostream>
#include <memory>
#include <string>

#include "names/demangle.h"

int main() {
  std::ios::sync_with_stdio(false);
  auto demangler = std::make_unique<unfreed::report::Demangler>();
  for (std::string name; std::getline(std::cin, name);) std::cout << demangler->demangle(name).text << '\n';
}
