// A limit on recursion that holds whatever sys.setrecursionlimit() and the size of a thread's stack are.
#pragma once

#include <Python.h>

namespace anima {

// Counts one level of recursion; throws PythonError with a RecursionError set when there are too many
// levels, or too little is left of this thread's stack. `where` follows on "maximum recursion depth
// exceeded".
class RecursionGuard {
 public:
  explicit RecursionGuard(const char* where = " while handling a pytree");
  ~RecursionGuard() { Py_LeaveRecursiveCall(); }
  RecursionGuard(const RecursionGuard&) = delete;
  RecursionGuard& operator=(const RecursionGuard&) = delete;
};

}  // namespace anima
