// Transfers as guards see them: Python is asked before a value moves between host and device, or between
// devices.
//
// Invariant: nothing is asked, and nothing is paid, in a thread without a guard (see transfers_guarded()).
// What moves for the library's own purposes, constants of programs, say, is not announced.
#pragma once

#include "array/aval.h"
#include "common/thread_state.h"

namespace anima {

// Calls the hook on_transfer(direction, dtype, shape, device); `to` is null for the host. Needs the GIL;
// throws what the hook raises.
void ask_guards(const char* direction, const AvalInfo& aval, Device* to);

inline void announce_transfer(const char* direction, const AvalInfo& aval, Device* to) {
  if (transfers_guarded()) ask_guards(direction, aval, to);
}

}  // namespace anima
