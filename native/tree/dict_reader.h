// Reading the values of a dict in a given order of keys.
//
// While the dict's own order of insertion agrees with that order, which it does for dicts that pytree
// functions have made, this is one pass without hashing; from the first disagreement on keys are looked up.
#pragma once

#include <Python.h>

#include "common/py.h"

namespace anima {

class DictReader {
 public:
  explicit DictReader(PyObject* dict) : dict_(dict) {}

  // The value of `key`, the next in order; empty if the dict has no such key. Throws what comparing raises.
  PyRef next(PyObject* key) {
    PyObject *found, *value;
    if (in_order_ && PyDict_Next(dict_, &position_, &found, &value) && found == key)
      return PyRef::borrow(value);
    in_order_ = false;
    value = PyDict_GetItemWithError(dict_, key);
    if (value == nullptr && PyErr_Occurred()) throw PythonError();
    return PyRef::borrow(value);
  }

 private:
  PyObject* dict_;
  Py_ssize_t position_ = 0;
  bool in_order_ = true;
};

}  // namespace anima
