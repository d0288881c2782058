// Arrays of what a user wrote down: NumPy arrays, and numbers in lists.
#pragma once

#include <Python.h>

namespace anima {

// An array, on the default device, of a NumPy array or of lists of numbers of one Python type. Null, without
// an exception, for anything else, about which Python code has the word. New reference.
PyObject* array_of_values(PyObject* value);

}  // namespace anima
