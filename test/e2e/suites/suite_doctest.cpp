#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <unfreed/doctest.h>

#include "steps.h"

TEST_CASE("closes") { steps::close_descriptor(); }
TEST_CASE("leaves descriptors") { steps::leave_descriptors(); }
TEST_CASE("closes again") { steps::close_descriptor(); }
TEST_CASE("loses block") {
  steps::lose_block();
  steps::clear_stack();
}
TEST_CASE("fills cache") { steps::fill_cache(); }
TEST_CASE("leaves thread") { steps::leave_thread(); }
TEST_CASE("leaves child") { steps::leave_child(); }
TEST_CASE("may leak" * doctest::may_fail()) { steps::leave_descriptors(); }
TEST_CASE("fails anyway") {
  steps::leave_descriptors();
  REQUIRE(1 == 2);
}
