// Objects of Python classes with `__slots__`, made and read without running Python.
//
// Invariant: a slot is read and written where the class's own descriptor would; an instance of a subclass has
// it at the same place. An empty slot reads as null.
#pragma once

#include <Python.h>

#include <array>
#include <cstddef>

#include "common/py.h"

namespace anima {

// Where the slot of this name lies in the instances of a class. Throws TypeError if it has none.
Py_ssize_t slot_offset(PyObject* type, const char* name);
// An instance with empty slots. New reference.
PyObject* new_instance(PyTypeObject* type);

inline PyObject*& slot_at(PyObject* object, Py_ssize_t offset) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset);
}

// A class, and the places of N of its slots in the order of their names here.
template <size_t N>
class SlotClass {
 public:
  // Takes a class for the life of the process.
  void adopt(PyObject* type, const std::array<const char*, N>& names) {
    for (size_t i = 0; i < N; i++) offsets_[i] = slot_offset(type, names[i]);
    type_ = reinterpret_cast<PyTypeObject*>(PyRef::borrow(type).release());
  }

  PyTypeObject* type() const { return type_; }
  bool is_exactly(PyObject* object) const { return Py_TYPE(object) == type_; }
  // The value of a slot, borrowed; null if it is empty.
  PyObject* peek(PyObject* object, size_t i) const { return slot_at(object, offsets_[i]); }
  // The same; throws AttributeError if it is empty.
  PyObject* get(PyObject* object, size_t i) const {
    PyObject* value = peek(object, i);
    if (value == nullptr) throw_python(PyExc_AttributeError, "a slot of a %.200s is empty", type_->tp_name);
    return value;
  }
  // A new instance with these values.
  template <class... Values>
  PyRef make(Values&&... values) const {
    static_assert(sizeof...(Values) == N, "a value for each slot");
    PyRef made = PyRef::steal(new_instance(type_));
    size_t i = 0;
    ((slot_at(made.get(), offsets_[i++]) = PyRef(std::forward<Values>(values)).release()), ...);
    return made;
  }

 private:
  PyTypeObject* type_ = nullptr;
  std::array<Py_ssize_t, N> offsets_{};
};

}  // namespace anima
