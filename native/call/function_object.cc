#include "call/function_object.h"

#include <utility>

namespace anima {

PyGetSetDef function_properties[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr}, {}};
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
