// Which program was started last on each device of the host.
//
// Invariant: XLA runs the programs of such a device one after the other, so one that is started now begins
// when the latest has ended.
#pragma once

#include <chrono>

#include "pjrt/client.h"

namespace anima::launches {

// That a call waits for other programs to end where its own results are then there at once: what it saves in
// a few calls.
constexpr std::chrono::microseconds kPatience{100};

// The latest program on `device` is the one with this result.
void note(const Device* device, const BufferRef& result);
// Whether a program would begin at once. Waits so long for that at most. Knows nothing of programs whose
// results are gone.
bool idle(const Device* device, std::chrono::microseconds patience);

}  // namespace anima::launches
