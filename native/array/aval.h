// Abstract values of arrays on the C++ side: what a signature compares.
//
// Invariant: AvalInfo is interned, so two live avals are equal exactly when their pointers are.
// Interning needs the GIL; the last reference may be dropped on any thread.
//
// An extended dtype (a random key type, say) is any hashable Python object with an attribute
// `physical_element`: the pair (shape, numpy dtype) in which one element is stored.
#pragma once

#include <Python.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "common/py.h"
#include "pjrt/client.h"

namespace anima {

struct AvalInfo : std::enable_shared_from_this<AvalInfo> {
  PJRT_Buffer_Type type;  // the physical element type
  bool weak;
  std::vector<int64_t> dims;  // the logical shape
  PyRef extended;             // an extended dtype object (random keys), or null
  size_t hash;
  int64_t size;                        // product of dims
  PyRef shape;                         // dims as a tuple of int
  PyRef dtype;                         // numpy dtype, or `extended`
  std::vector<int64_t> physical_dims;  // the shape of the buffer: dims, then an extended element's own
  size_t nbytes;                       // of the buffer as NumPy holds it: one element takes at least a byte
  mutable PyRef aval;                  // the Python ShapedArray, made on first request
  mutable void* memo = nullptr;        // reserved for the call layer
};
using AvalRef = std::shared_ptr<const AvalInfo>;

// The interned aval. `extended` may be null. Throws if the type is not registered.
AvalRef intern_aval(PJRT_Buffer_Type type, const std::vector<int64_t>& dims, bool weak,
                    PyObject* extended = nullptr);
// From Python objects: a shape (sequence of int), a numpy or extended dtype, a flag.
AvalRef intern_aval(PyObject* shape, PyObject* dtype, bool weak);
// The Python core.aval.ShapedArray of an aval, built by the factory that Python registered. New reference.
PyObject* python_aval(const AvalInfo& aval);
// A sequence of non-negative ints; throws TypeError or ValueError otherwise.
std::vector<int64_t> dims_of(PyObject* shape);

// Element types are registered once from Python: (PJRT code, numpy dtype). Look-ups throw TypeError.
void register_dtype(PJRT_Buffer_Type type, PyObject* numpy_dtype);
PJRT_Buffer_Type type_of_dtype(PyObject* numpy_dtype);
// The same of a numpy.dtype, or PJRT_Buffer_Type_INVALID.
PJRT_Buffer_Type known_type(PyObject* descriptor);
PyObject* dtype_of_type(PJRT_Buffer_Type type);  // borrowed
// Bytes of one element as NumPy holds it (sub-byte types take one).
size_t host_itemsize(PJRT_Buffer_Type type);
// What a host value of this type becomes: 64-bit types narrow to 32 bits while x64 is off.
PJRT_Buffer_Type canonical_type(PJRT_Buffer_Type type);
// True for an object that carries `physical_element`.
bool is_extended_dtype(PyObject* dtype);

}  // namespace anima
