// Copies between the host and the memory that a custom call's operands and results lie in.
//
// Invariant: on the host platform memory is used where it stands; elsewhere copies are queued on the stream
// of the call, and wait() returns when they have happened. Nothing here needs the GIL, and wait() must not be
// called with it.
#pragma once

#include <cstddef>

#include "ffi/abi.h"

namespace anima::ffi {

class HostMemory {
 public:
  static constexpr bool kOnHost = true;
  explicit HostMemory(const CallFrame&) {}
  void to_host(void* to, const void* from, size_t bytes);
  void to_device(void*, const void*, size_t) {}
  void wait() {}
};

// Through the CUDA driver, which is there wherever XLA runs on CUDA devices.
class CudaMemory {
 public:
  static constexpr bool kOnHost = false;
  explicit CudaMemory(const CallFrame& frame);  // throws PjrtError without a driver or a stream
  void to_host(void* to, const void* from, size_t bytes);
  void to_device(void* to, const void* from, size_t bytes);
  void wait();

 private:
  void* stream_;
};

}  // namespace anima::ffi
