#include "call/boundary.h"

#include "call/function_object.h"
#include "common/py.h"
#include "common/recursion.h"

namespace anima {

PyTypeObject* boundary_type = nullptr;  // owned for the life of the process

namespace {

PyObject* traceback_filter = nullptr;  // owned for the life of the process

PyObject* vectorcall(PyObject* callable, PyObject* const* args, size_t count, PyObject* names) {
  PyRef fun = PyRef::borrow(as_function(callable)->fun);
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
  as_function(object)->vectorcall = vectorcall;
  as_function(object)->fun = PyRef::borrow(fun).release();
  return object;
}

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>("Boundary(fun)\n--\n\nCalls `fun`; the traceback of what it raises ends in the "
                       "user's own line.")},
    {Py_tp_new, reinterpret_cast<void*>(new_boundary)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse_function)},
    {Py_tp_clear, reinterpret_cast<void*>(clear_function)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc_function<release_function>)},
    {Py_tp_descr_get, reinterpret_cast<void*>(bind_function)},
    {Py_tp_repr, reinterpret_cast<void*>(repr_of_function)},
    {Py_tp_methods, function_methods},
    {Py_tp_members, function_members},
    {Py_tp_getset, function_properties},
    {0, nullptr}};

PyType_Spec spec = {"anima._native.Boundary", sizeof(FunctionObject), 0, kFunctionFlags, slots};

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
