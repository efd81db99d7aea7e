#define CATCH_CONFIG_MAIN
#include <unfreed/catch2.h>

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
TEST_CASE("sections") {
  int fd = open("/etc/hosts", O_RDONLY);
  SECTION("closed") { close(fd); }
  SECTION("left") { CHECK(fd >= 0); }
}
TEST_CASE("fails anyway") {
  steps::leave_descriptors();
  REQUIRE(1 == 2);
}
