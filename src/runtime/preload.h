// How this library came into the process, and what programs that it starts must be given to be tracked as well.
#pragma once

#include "elf/obstacle.h"
#include "settings/settings.h"

namespace unfreed::runtime {

/// Takes away what was put into LD_PRELOAD for this program alone (elf::kSanitizerMark), in place, before the program
/// sees it.
void restore_preload(char** environment);

/// Lets the hooks of exec and spawn see to what they start. For processes that are not tracked themselves, too: they
/// must not hand the library to programs that it would harm. Where `settings` are disabled, programs that are not
/// tracked are not noted.
void prepare_preloading(char* const* environment, const report::Settings& settings);

/// This process is about to become a program that is not tracked. (A hook::ProcessEvents function.)
void leaving_untracked(std::string_view program, elf::Obstacle obstacle);

/// UNFREED_ALLOW_UNTRACKED, as it was at the start.
std::string_view allowed_untracked();
/// UNFREED_RULES_FOR.
std::string_view programs_under_rules();

/// The folder that the library was installed to or built in, with its last '/'.
std::string_view library_folder();

}  // namespace unfreed::runtime
