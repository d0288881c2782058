#include "trace/slots.h"

#include <Python.h>
#include <structmember.h>

#include <unordered_map>
#include <vector>

#include "trace/trace.h"

namespace anima {
namespace {

using Offsets = std::vector<Py_ssize_t>;

// The classes that are made by position, which live as long as the process, and the slots of their arguments.
std::unordered_map<PyObject*, Offsets>& by_position() {
  static auto& known = *new std::unordered_map<PyObject*, Offsets>;
  return known;
}

PyObject* make_by_position(PyObject* type, PyObject* const* args, size_t flagged, PyObject* names) {
  const Offsets& offsets = by_position().find(type)->second;
  const auto count = static_cast<size_t>(PyVectorcall_NARGS(flagged));
  if (count != offsets.size() || (names != nullptr && PyTuple_GET_SIZE(names) > 0)) {
    return call_slowly(type, args, count, names);
  }
  auto* made = reinterpret_cast<PyTypeObject*>(type)->tp_alloc(reinterpret_cast<PyTypeObject*>(type), 0);
  if (made == nullptr) return nullptr;
  for (size_t i = 0; i < count; i++) slot_at(made, offsets[i]) = Py_NewRef(args[i]);
  return made;
}

// Throws unless it is a class whose instances `object.__new__` makes: others have more in them than slots.
void check_made_by_python(PyObject* type) {
  if (!PyType_Check(type) ||
      PyType_HasFeature(reinterpret_cast<PyTypeObject*>(type), Py_TPFLAGS_IMMUTABLETYPE) ||
      reinterpret_cast<PyTypeObject*>(type)->tp_new != PyBaseObject_Type.tp_new) {
    throw_python(PyExc_TypeError, "expected a class that Python makes instances of, got %R", type);
  }
}

}  // namespace

Py_ssize_t slot_offset(PyObject* type, const char* name) {
  check_made_by_python(type);
  PyRef slot = PyRef::steal(checked(PyObject_GetAttrString(type, name)));
  if (!Py_IS_TYPE(slot.get(), &PyMemberDescr_Type) ||
      reinterpret_cast<PyMemberDescrObject*>(slot.get())->d_member->type != T_OBJECT_EX) {
    throw_python(PyExc_TypeError, "%R has no slot '%s'", type, name);
  }
  return reinterpret_cast<PyMemberDescrObject*>(slot.get())->d_member->offset;
}

PyObject* call_slowly(PyObject* type, PyObject* const* args, size_t count, PyObject* names) {
  PyRef given = PyRef::steal(PyTuple_New(static_cast<Py_ssize_t>(count)));
  PyRef named = PyRef::steal(names == nullptr ? nullptr : PyDict_New());
  if (!given || (names != nullptr && !named)) return nullptr;
  for (size_t i = 0; i < count; i++)
    PyTuple_SET_ITEM(given.get(), static_cast<Py_ssize_t>(i), Py_NewRef(args[i]));
  for (Py_ssize_t i = 0; names != nullptr && i < PyTuple_GET_SIZE(names); i++) {
    PyObject* value = args[count + static_cast<size_t>(i)];
    if (PyDict_SetItem(named.get(), PyTuple_GET_ITEM(names, i), value) < 0) return nullptr;
  }
  return PyType_Type.tp_call(type, given.get(), named.get());
}

PyObject* new_instance(PyTypeObject* type) { return checked(type->tp_alloc(type, 0)); }

PyObject* made_by_position(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    if (count < 1)
      throw_python(PyExc_TypeError, "made_by_position: expected a class and the names of its slots");
    check_made_by_python(args[0]);
    Offsets offsets;
    for (Py_ssize_t i = 1; i < count; i++) {
      const char* name = PyUnicode_AsUTF8(args[i]);
      if (name == nullptr) throw PythonError();
      offsets.push_back(slot_offset(args[0], name));
    }
    by_position()[PyRef::borrow(args[0]).release()] = std::move(offsets);
    reinterpret_cast<PyTypeObject*>(args[0])->tp_vectorcall = make_by_position;
    Py_RETURN_NONE;
  });
}

}  // namespace anima
