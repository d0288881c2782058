// Where operations enter: `Primitive.bind` as a method without a Python frame.
//
// Invariant: without an ambient trace the operation runs by the primitive's `eager`; else the trace decides.
#pragma once

#include <Python.h>

namespace anima {

// The type of _native.bind_operation, whose one object `Primitive` has as its method.
void create_bind_operation_type();  // once
PyObject* make_bind_operation();    // new reference
bool is_bind_operation(PyObject* object);

}  // namespace anima
