// Distributes the arguments of a vectorcall over named parameters.
//
// Invariant: on return every required parameter is set and the others are set or null.
#pragma once

#include <Python.h>

#include "common/py.h"

namespace anima {

// The arguments as CPython passes them to a METH_FASTCALL | METH_KEYWORDS function.
struct CallArgs {
  PyObject* const* values;
  Py_ssize_t positional;
  PyObject* names;  // tuple of the keyword names, or null
};

// Throws (TypeError in Python) naming `function` and the parameter on any mismatch. References are borrowed.
template <size_t N>
void parse_args(const char* function, const char* const (&parameters)[N], size_t required,
                const CallArgs& args, PyObject* (&out)[N]) {
  if (args.positional > static_cast<Py_ssize_t>(N)) {
    throw_python(PyExc_TypeError, "%s() takes at most %zu arguments, got %zd", function, N, args.positional);
  }
  for (size_t i = 0; i < N; i++)
    out[i] = static_cast<Py_ssize_t>(i) < args.positional ? args.values[i] : nullptr;
  Py_ssize_t named = args.names == nullptr ? 0 : PyTuple_GET_SIZE(args.names);
  for (Py_ssize_t k = 0; k < named; k++) {
    PyObject* name = PyTuple_GET_ITEM(args.names, k);
    size_t i = 0;
    while (i < N && PyUnicode_CompareWithASCIIString(name, parameters[i]) != 0) i++;
    if (i == N) {
      throw_python(PyExc_TypeError, "%s() has no parameter %R", function, name);
    }
    if (out[i] != nullptr) {
      throw_python(PyExc_TypeError, "%s() got %R twice", function, name);
    }
    out[i] = args.values[args.positional + k];
  }
  for (size_t i = 0; i < required; i++) {
    if (out[i] != nullptr) continue;
    throw_python(PyExc_TypeError, "%s() needs the argument '%s'", function, parameters[i]);
  }
}

// None stands for "not given" in optional parameters.
inline PyObject* none_to_null(PyObject* o) { return o == Py_None ? nullptr : o; }

}  // namespace anima
