// Copies for custom calls. The CUDA driver is looked up at run time, so that no build needs CUDA.
#include "ffi/transfer.h"

#include <dlfcn.h>

#include <cstring>
#include <string>

#include "ffi/handler.h"

namespace anima::ffi {
namespace {

// The four functions of the driver's C interface that are used; CUresult is an int, 0 for success.
struct Driver {
  int (*to_host)(void* to, unsigned long long from, size_t bytes, void* stream) = nullptr;
  int (*to_device)(unsigned long long to, const void* from, size_t bytes, void* stream) = nullptr;
  int (*wait)(void* stream) = nullptr;
  int (*explain)(int result, const char** text) = nullptr;
};

template <typename Function>
bool look_up(void* library, const char* name, Function& into) {
  into = reinterpret_cast<Function>(dlsym(library, name));
  return into != nullptr;
}

const Driver& driver() {
  static const Driver instance = [] {
    Driver found;
    void* library = dlopen("libcuda.so.1", RTLD_LAZY);
    if (library == nullptr || !look_up(library, "cuMemcpyDtoHAsync_v2", found.to_host) ||
        !look_up(library, "cuMemcpyHtoDAsync_v2", found.to_device) ||
        !look_up(library, "cuStreamSynchronize", found.wait) ||
        !look_up(library, "cuGetErrorString", found.explain)) {
      return Driver{};
    }
    return found;
  }();
  return instance;
}

void check(int result, const char* what) {
  if (result == 0) return;
  const char* text = nullptr;
  driver().explain(result, &text);
  throw PjrtError(PJRT_Error_Code_INTERNAL, std::string("a Python callback could not ") + what + ": " +
                                                (text != nullptr ? text : "unknown CUDA error"));
}

}  // namespace

void HostMemory::to_host(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

CudaMemory::CudaMemory(const CallFrame& frame) : stream_(nullptr) {
  if (driver().wait == nullptr) {
    throw PjrtError(PJRT_Error_Code_UNIMPLEMENTED,
                    "Python callbacks on CUDA devices need the CUDA driver, libcuda.so.1");
  }
  StreamGetArgs args{sizeof(StreamGetArgs), nullptr, frame.context, nullptr};
  if (Error* error = frame.api->stream_get(&args)) {
    ErrorDestroyArgs destroy{sizeof(ErrorDestroyArgs), nullptr, error};
    frame.api->error_destroy(&destroy);
    throw PjrtError(PJRT_Error_Code_INTERNAL, "XLA gave a Python callback no CUDA stream");
  }
  stream_ = args.stream;
}

void CudaMemory::to_host(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  check(driver().to_host(to, reinterpret_cast<unsigned long long>(from), bytes, stream_), "read an operand");
}

void CudaMemory::to_device(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  check(driver().to_device(reinterpret_cast<unsigned long long>(to), from, bytes, stream_), "write a result");
}

void CudaMemory::wait() { check(driver().wait(stream_), "wait for its operands"); }

}  // namespace anima::ffi
