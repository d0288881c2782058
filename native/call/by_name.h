// How callables of ours are copied and pickled: as Python's functions are.
#pragma once

#include <Python.h>

namespace anima {

// A string means that the object is its own copy, and that pickle looks it up in its module.
inline PyObject* reduce_by_name(PyObject* object, PyObject*) {
  PyObject* name = PyObject_GetAttrString(object, "__qualname__");
  if (name != nullptr && PyUnicode_Check(name)) return name;
  if (name == nullptr && !PyErr_ExceptionMatches(PyExc_AttributeError)) return nullptr;
  PyErr_Clear();
  Py_XDECREF(name);
  return PyObject_Repr(object);  // no module has it, and pickle says so
}

inline constexpr PyMethodDef kReduceByName = {"__reduce__", reduce_by_name, METH_NOARGS,
                                              "__reduce__($self)\n--\n\n"
                                              "The name by which pickle looks it up."};

}  // namespace anima
