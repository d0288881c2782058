// Where errors leave the library: the traceback that a user sees ends in the user's own line.
//
// Invariant: a boundary has no Python frame of its own; what it shortens is the traceback alone, never the
// exception.
#pragma once

#include <Python.h>

namespace anima {

// To be called while a Python exception is set: gives its traceback to the function registered by
// set_traceback_filter and takes what that returns. Keeps the traceback if there is none or it fails.
void shorten_traceback() noexcept;

// _native.Boundary(fun): calls `fun` and shortens the traceback of what it raises.
void create_boundary_type();  // once
extern PyTypeObject* boundary_type;
void set_traceback_filter(PyObject* filter);

}  // namespace anima
