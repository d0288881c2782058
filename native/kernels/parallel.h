// Work on XLA's own threads.
//
// Invariant: a call returns when all of its pieces are done, and can never wait for a thread that waits for
// it: the calling thread takes pieces itself until none is left, and then waits only for pieces that another
// thread has begun.
#pragma once

#include <cstdint>
#include <functional>

#include "ffi/abi.h"

namespace anima::kernels {

// Calls `body(begin, end)` for consecutive pieces of [0, n), each of `grain` or more (but the last), several
// at a time where the program's thread pool allows it. The first exception of a piece is thrown again here.
void parallel_for(ffi::CallFrame& frame, int64_t n, int64_t grain,
                  const std::function<void(int64_t begin, int64_t end)>& body);

// How many threads work at most on one `parallel_for`.
int64_t threads_of(ffi::CallFrame& frame);

}  // namespace anima::kernels
