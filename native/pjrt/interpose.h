// Functions of ours in place of those that a loaded library imports.
#pragma once

#include <string>

namespace anima {

// From now on the memory that a loaded library takes with an alignment, and by C++'s operators, is that of
// pjrt/small_blocks.h and pjrt/large_blocks.h, its threads wait as pjrt/waits.h has it, and it rounds as
// pjrt/rounding.h has it. Does nothing where the library's imports cannot be told, and nothing more the
// second time.
void interpose(const std::string& path) noexcept;

}  // namespace anima
