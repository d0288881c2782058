// Equality and hashing of static values: what may stand in for what in a cache of compiled programs.
#include <cstring>

#include "tree/tree.h"

namespace anima {
namespace {

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof(double)) == 0; }

Py_hash_t hash_bits(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits *= 0x9E3779B97F4A7C15u;
  return static_cast<Py_hash_t>(bits ^ (bits >> 32));
}

}  // namespace

bool same_value(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (Py_TYPE(a) != Py_TYPE(b)) return false;
  if (PyFloat_CheckExact(a)) return same_bits(PyFloat_AS_DOUBLE(a), PyFloat_AS_DOUBLE(b));
  if (PyComplex_CheckExact(a)) {
    Py_complex x = PyComplex_AsCComplex(a), y = PyComplex_AsCComplex(b);
    return same_bits(x.real, y.real) && same_bits(x.imag, y.imag);
  }
  if (PyTuple_CheckExact(a)) {
    if (PyTuple_GET_SIZE(a) != PyTuple_GET_SIZE(b)) return false;
    RecursionGuard guard;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(a); i++) {
      if (!same_value(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i))) return false;
    }
    return true;
  }
  int equal = PyObject_RichCompareBool(a, b, Py_EQ);
  if (equal < 0) throw PythonError();
  return equal == 1;
}

Py_hash_t value_hash(PyObject* object) {
  if (PyFloat_CheckExact(object)) return hash_bits(PyFloat_AS_DOUBLE(object));
  if (PyComplex_CheckExact(object)) {
    Py_complex value = PyComplex_AsCComplex(object);
    return hash_bits(value.real) * 1000003 + hash_bits(value.imag);
  }
  if (PyTuple_CheckExact(object)) {
    RecursionGuard guard;
    Py_uhash_t hash = 0x345678;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); i++) {
      hash = (hash ^ static_cast<Py_uhash_t>(value_hash(PyTuple_GET_ITEM(object, i)))) * 1000003;
    }
    return static_cast<Py_hash_t>(hash);
  }
  Py_hash_t hash = PyObject_Hash(object);
  if (hash == -1 && PyErr_Occurred()) throw PythonError();
  return hash;
}

}  // namespace anima
