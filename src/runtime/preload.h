// How this library was loaded into the process, and what programs that it starts need in order to be tracked, too.
#pragma once

#include "elf/obstacle.h"

namespace unfreed::runtime {

/// Removes what was put into LD_PRELOAD for this program alone (elf::kSanitizerMark), in place, before the program
/// sees it.
void restore_preload(char** environment);

/// Enables the hooks of exec and spawn to examine what they start; also in processes that are not tracked themselves,
/// which must not pass the library on to programs that it would harm. With UNFREED_DISABLE, untracked programs are not
/// recorded. After keep_settings().
void prepare_preloading(char* const* environment);

/// This process is about to execute a program that is not tracked. (A hook::ProcessEvents function.)
void leaving_untracked(std::string_view program, elf::Obstacle obstacle);

/// The folder that the library was installed to or built in, with its final '/'.
std::string_view library_folder();

}  // namespace unfreed::runtime
