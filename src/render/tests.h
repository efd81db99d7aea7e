// Which tests acquired what is held.
#pragma once

#include <string>

#include "render/places.h"

namespace unfreed::render {

/// "acquired in test tests/test_a.py::test_x", or "acquired in tests A (3), B (2) and 4 more"; "" if it is not known.
std::string describe_tests(const Place& place);

}  // namespace unfreed::render
