// Where in the user's program an equation comes from: `core.source` says what a position is.
#include "common/py.h"
#include "trace/trace.h"

namespace anima {
namespace {

// Owned for the life of the process.
PyTypeObject* position_type = nullptr;  // a tuple of four fields
PyObject* internal = nullptr;           // dict from a file to whether it is not the user's
PyObject* is_internal = nullptr;        // the same of a code object, noted in the dict

bool of_user(PyCodeObject* code) {
  PyRef known = PyRef::borrow(PyDict_GetItemWithError(internal, code->co_filename));
  if (!known) {
    if (PyErr_Occurred()) throw PythonError();
    known = PyRef::steal(checked(PyObject_CallOneArg(is_internal, reinterpret_cast<PyObject*>(code))));
  }
  return known.get() != Py_True;
}

}  // namespace

PyRef current_position(PyObject* names) {
  if (position_type == nullptr)
    throw_python(PyExc_TypeError, "current_position: the class of positions was not handed over");
  PyRef frame = PyRef::borrow(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
  while (frame) {
    auto* at = reinterpret_cast<PyFrameObject*>(frame.get());
    PyRef code = PyRef::steal(reinterpret_cast<PyObject*>(PyFrame_GetCode(at)));
    if (of_user(reinterpret_cast<PyCodeObject*>(code.get()))) {
      PyRef position = PyRef::steal(checked(position_type->tp_alloc(position_type, 4)));
      PyObject* const fields[] = {code.release(), checked(PyLong_FromLong(PyFrame_GetLasti(at))),
                                  Py_NewRef(names), Py_NewRef(Py_None)};
      for (Py_ssize_t i = 0; i < 4; i++) PyTuple_SET_ITEM(position.get(), i, fields[i]);
      return position;
    }
    frame = PyRef::steal(reinterpret_cast<PyObject*>(PyFrame_GetBack(at)));
  }
  return PyRef::borrow(Py_None);
}

PyObject* set_positions(PyObject*, PyObject* args) {
  PyObject *type, *known, *ask;
  if (!PyArg_ParseTuple(args, "O!O!O:set_positions", &PyType_Type, &type, &PyDict_Type, &known, &ask))
    return nullptr;
  if (!PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), &PyTuple_Type)) {
    PyErr_Format(PyExc_TypeError, "set_positions: %R is no class of tuples", type);
    return nullptr;
  }
  position_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(type));
  internal = Py_NewRef(known);
  is_internal = Py_NewRef(ask);
  Py_RETURN_NONE;
}

}  // namespace anima
