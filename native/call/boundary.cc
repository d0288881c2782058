#include "call/boundary.h"

#include <structmember.h>

#include "call/by_name.h"
#include "common/py.h"
#include "common/recursion.h"

namespace anima {

PyTypeObject* boundary_type = nullptr;  // owned for the life of the process

namespace {

PyObject* traceback_filter = nullptr;  // owned for the life of the process

struct BoundaryObject {
  PyObject_HEAD;
  vectorcallfunc vectorcall;
  PyObject* fun;
  PyObject* dict;
  PyObject* weakrefs;
};

BoundaryObject* as_boundary(PyObject* object) { return reinterpret_cast<BoundaryObject*>(object); }

PyObject* vectorcall(PyObject* callable, PyObject* const* args, size_t count, PyObject* names) {
  PyRef fun = PyRef::borrow(as_boundary(callable)->fun);
  PyObject* result = guarded<PyObject*>(nullptr, [&] {
    RecursionGuard guard(" in a function of the library");
    return PyObject_Vectorcall(fun.get(), args, count, names);
  });
  if (result == nullptr) shorten_traceback();
  return result;
}

PyObject* new_boundary(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"fun", nullptr};
  PyObject* fun = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:Boundary", const_cast<char**>(names), &fun))
    return nullptr;
  if (!PyCallable_Check(fun))
    return PyErr_Format(PyExc_TypeError, "Boundary: `fun` must be callable, got %R", fun);
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  as_boundary(object)->vectorcall = vectorcall;
  as_boundary(object)->fun = PyRef::borrow(fun).release();
  return object;
}

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(as_boundary(object)->fun);
  Py_VISIT(as_boundary(object)->dict);
  return 0;
}

int clear(PyObject* object) {
  BoundaryObject* self = as_boundary(object);
  PyObject* old = std::exchange(self->fun, PyRef::borrow(Py_None).release());
  Py_XDECREF(old);
  Py_CLEAR(self->dict);
  return 0;
}

void release(PyObject* object) {
  BoundaryObject* self = as_boundary(object);
  PyTypeObject* type = Py_TYPE(object);
  if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
  Py_CLEAR(self->fun);
  Py_CLEAR(self->dict);
  type->tp_free(object);
  Py_DECREF(type);
}

void dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  Py_TRASHCAN_BEGIN(object, dealloc);  // `fun` may be a boundary, and so on
  release(object);
  Py_TRASHCAN_END;
}

PyObject* bind_to(PyObject* object, PyObject* instance, PyObject*) {
  if (instance == nullptr || instance == Py_None) return PyRef::borrow(object).release();
  return PyMethod_New(object, instance);
}

PyObject* repr(PyObject* object) { return PyObject_Repr(as_boundary(object)->fun); }

PyMethodDef methods[] = {kReduceByName, {}};
PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(BoundaryObject, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(BoundaryObject, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(BoundaryObject, weakrefs), READONLY, nullptr},
    {}};
PyGetSetDef properties[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
                            {}};

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>("Boundary(fun)\n--\n\nCalls `fun`; the traceback of what it raises ends in the "
                       "user's own line.")},
    {Py_tp_new, reinterpret_cast<void*>(new_boundary)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_descr_get, reinterpret_cast<void*>(bind_to)},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0, nullptr}};

PyType_Spec spec = {
    "anima._native.Boundary", sizeof(BoundaryObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    slots};

}  // namespace

void shorten_traceback() noexcept {
  if (traceback_filter == nullptr) return;
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  if (traceback != nullptr) {
    PyRef filter = PyRef::borrow(traceback_filter);  // which may set another one
    PyObject* kept = PyObject_CallOneArg(filter.get(), traceback);
    if (kept == nullptr) {
      PyErr_Clear();
    } else if (kept != Py_None && !PyTraceBack_Check(kept)) {
      Py_DECREF(kept);  // the whole traceback stays
    } else {
      Py_DECREF(traceback);
      traceback = kept == Py_None ? nullptr : kept;
      if (kept == Py_None) Py_DECREF(kept);
      // The exception carries its traceback, too; Fetch hands them out apart from each other.
      PyErr_NormalizeException(&type, &value, &traceback);
      if (value != nullptr) PyException_SetTraceback(value, traceback == nullptr ? Py_None : traceback);
    }
  }
  PyErr_Restore(type, value, traceback);
}

void set_traceback_filter(PyObject* filter) {
  PyObject* old = std::exchange(traceback_filter, PyRef::borrow(filter).release());
  Py_XDECREF(old);
}

void create_boundary_type() {
  boundary_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
}

}  // namespace anima
