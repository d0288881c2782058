#include "common/recursion.h"

#include <pthread.h>

#include <algorithm>
#include <cstddef>

#include "common/py.h"

namespace anima {
namespace {

// What the functions that are called in the deepest frame may need, Python's own among them.
constexpr size_t kReserve = 256 << 10;

// The lowest address that a guarded frame of this thread may have. Null if the system does not tell.
const char* find_lowest() {
#ifdef __linux__
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return nullptr;
  void* lowest = nullptr;
  size_t size = 0;
  pthread_attr_getstack(&attributes, &lowest, &size);
  pthread_attr_destroy(&attributes);
  return static_cast<const char*>(lowest) + std::min(kReserve, size / 2);
#elif defined(__APPLE__)
  size_t size = pthread_get_stacksize_np(pthread_self());
  const char* highest = static_cast<const char*>(pthread_get_stackaddr_np(pthread_self()));
  return highest - size + std::min(kReserve, size / 2);
#else
  return nullptr;
#endif
}

thread_local const char* lowest_frame = nullptr;
thread_local bool known = false;

bool stack_is_short() {
  if (!known) {
    lowest_frame = find_lowest();
    known = true;
  }
  return static_cast<const char*>(__builtin_frame_address(0)) < lowest_frame;
}

}  // namespace

RecursionGuard::RecursionGuard(const char* where) {
  if (stack_is_short()) {
    throw_python(PyExc_RecursionError, "maximum recursion depth exceeded%s: the thread's stack is full",
                 where);
  }
  if (Py_EnterRecursiveCall(where) != 0) throw PythonError();
}

}  // namespace anima
