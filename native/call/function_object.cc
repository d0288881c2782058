#include "call/function_object.h"

#include <utility>

namespace anima {

namespace {

constexpr const char* kSignature = "__signature__";

// What was set, or that of the function that the object stands for.
PyObject* get_signature(PyObject* object, void*) {
  PyRef dict = PyRef::steal(PyObject_GenericGetDict(object, nullptr));
  if (!dict) return nullptr;
  if (PyObject* set = PyDict_GetItemString(dict.get(), kSignature)) return PyRef::borrow(set).release();
  PyObject* wrapped = PyDict_GetItemString(dict.get(), "__wrapped__");
  PyRef inspect = PyRef::steal(wrapped == nullptr ? nullptr : PyImport_ImportModule("inspect"));
  if (inspect) {
    if (PyObject* found = PyObject_CallMethod(inspect.get(), "signature", "O", wrapped)) return found;
    // Of a function without one this has none either.
    if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_TypeError)) return nullptr;
  } else if (wrapped != nullptr) {
    return nullptr;
  }
  PyErr_SetString(PyExc_AttributeError, kSignature);
  return nullptr;
}

int set_signature(PyObject* object, PyObject* value, void*) {
  PyRef dict = PyRef::steal(PyObject_GenericGetDict(object, nullptr));
  if (!dict) return -1;
  if (value != nullptr) return PyDict_SetItemString(dict.get(), kSignature, value);
  if (PyDict_DelItemString(dict.get(), kSignature) == 0) return 0;
  if (PyErr_ExceptionMatches(PyExc_KeyError)) PyErr_SetString(PyExc_AttributeError, kSignature);
  return -1;
}

}  // namespace

PyGetSetDef function_properties[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {kSignature, get_signature, set_signature, nullptr, nullptr},
    {}};
PyMemberDef function_members[] = {kVectorcallMember, kDictMember, kWeakrefsMember, {}};
PyMethodDef function_methods[] = {kReduceByName, {}};

void replace_by_none(PyObject*& member) {
  PyObject* old = std::exchange(member, PyRef::borrow(Py_None).release());
  Py_XDECREF(old);
}

int traverse_function(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(as_function(object)->fun);
  Py_VISIT(as_function(object)->dict);
  return 0;
}

int clear_function(PyObject* object) {
  replace_by_none(as_function(object)->fun);
  Py_CLEAR(as_function(object)->dict);
  return 0;
}

PyObject* bind_function(PyObject* object, PyObject* instance, PyObject*) {
  if (instance == nullptr || instance == Py_None) return PyRef::borrow(object).release();
  return PyMethod_New(object, instance);
}

PyObject* repr_of_function(PyObject* object) { return PyObject_Repr(as_function(object)->fun); }

void release_function(PyObject* object) {
  FunctionObject* self = as_function(object);
  PyTypeObject* type = Py_TYPE(object);
  if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
  Py_CLEAR(self->fun);
  Py_CLEAR(self->dict);
  type->tp_free(object);
  Py_DECREF(type);
}

}  // namespace anima
