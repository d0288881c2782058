// Small owning handles for CPython objects, and the one place where C++ errors become Python ones.
//
// Invariant: no C++ lock is held while Python code may run or the GIL changes hands. (A thread that asks for
// the GIL while the interpreter shuts down does not come back: common/ended.cc.)
#pragma once

#include <Python.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace anima {

// An owning reference. Copying and destroying need the GIL.
class PyRef {
 public:
  PyRef() = default;
  static PyRef steal(PyObject* o) {
    PyRef r;
    r.obj_ = o;
    return r;
  }
  static PyRef borrow(PyObject* o) {
    Py_XINCREF(o);
    return steal(o);
  }
  PyRef(const PyRef& other) : obj_(other.obj_) { Py_XINCREF(obj_); }
  PyRef(PyRef&& other) noexcept : obj_(std::exchange(other.obj_, nullptr)) {}
  PyRef& operator=(PyRef other) noexcept {
    std::swap(obj_, other.obj_);
    return *this;
  }
  ~PyRef() { Py_XDECREF(obj_); }

  PyObject* get() const { return obj_; }
  PyObject* release() { return std::exchange(obj_, nullptr); }
  PyObject* new_ref() const {
    Py_XINCREF(obj_);
    return obj_;
  }
  explicit operator bool() const { return obj_ != nullptr; }

 private:
  PyObject* obj_ = nullptr;
};

// Thrown when a Python exception is already set; the boundary returns nullptr.
struct PythonError : std::exception {};

// Throws PythonError if `o` is null (a C-API call has failed and set an exception).
inline PyObject* checked(PyObject* o) {
  if (o == nullptr) throw PythonError();
  return o;
}

// Sets a Python exception of class `type` (printf-style, as PyErr_Format) and throws PythonError.
[[noreturn]] void throw_python(PyObject* type, const char* format, ...);

// The Python classes that Python code registers for errors of ours, by set_error_class().
enum class ErrorClass { kXlaRuntime, kDeletedArray, kFork, kPlugin };
PyObject* error_class(ErrorClass which);  // borrowed; RuntimeError until registered

// Runs `fn`, turning any C++ exception into the Python exception that it stands for, and returns
// `failure` then. Every C slot and raw C-API method goes through this.
void set_python_error() noexcept;  // to be called in a catch block only
template <class R, class Fn>
R guarded(R failure, Fn&& fn) noexcept {
  try {
    return fn();
  } catch (...) {
    set_python_error();
    return failure;
  }
}

// The items of any sequence, or of another iterable, as a tuple.
inline PyRef tuple_of(PyObject* items) {
  PyRef tuple = PyRef::steal(PySequence_Tuple(items));
  if (!tuple) throw PythonError();
  return tuple;
}

// Releases the GIL for a scope.
class NoGil {
 public:
  NoGil() : state_(PyEval_SaveThread()) {}
  ~NoGil() { PyEval_RestoreThread(state_); }
  NoGil(const NoGil&) = delete;
  NoGil& operator=(const NoGil&) = delete;

 private:
  PyThreadState* state_;
};

// Releases the GIL for a scope if this thread holds it.
class NoGilIfHeld {
 public:
  NoGilIfHeld() : state_(PyGILState_Check() ? PyEval_SaveThread() : nullptr) {}
  ~NoGilIfHeld() {
    if (state_ != nullptr) PyEval_RestoreThread(state_);
  }
  NoGilIfHeld(const NoGilIfHeld&) = delete;
  NoGilIfHeld& operator=(const NoGilIfHeld&) = delete;

 private:
  PyThreadState* state_;
};

// Takes the GIL for a scope, on any thread (XLA's own included), whether it is held or not.
class WithGil {
 public:
  WithGil() : state_(PyGILState_Ensure()) {}
  ~WithGil() { PyGILState_Release(state_); }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyGILState_STATE state_;
};

}  // namespace anima
