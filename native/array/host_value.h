// Reading host values: what put_host_value() is made of.
#pragma once

#include <Python.h>

#include <vector>

#include "array/array.h"
#include "array/memory.h"
#include "array/numpy_api.h"

namespace anima {

// The value of a scalar in the bytes that a device takes.
struct Scalar {
  PJRT_Buffer_Type type;
  bool weak;
  alignas(16) unsigned char bytes[16];  // unused ones are zero
};

// Reads a Python or NumPy scalar; false if `value` is neither. The type is the canonical one.
bool read_scalar(PyObject* value, Scalar& out);
// The buffer of a scalar, from a small cache or made anew.
HostValue put_scalar(const Scalar& scalar, Device* device);

// A NumPy array (or NumPy scalar) as dense row-major native-endian memory of a device type. The memory
// belongs to `block` if that is set (nobody else knows it, so it may be handed over), otherwise to `array`.
struct DenseArray {
  PJRT_Buffer_Type type;
  std::vector<int64_t> dims;
  const void* data;
  PyRef array;
  BlockRef block;
};
// `canonical`: narrow 64-bit types while x64 is off. Throws TypeError for dtypes that no device has.
DenseArray read_numpy(PyArrayObject* array, bool canonical);
// Copies (or hands over) dense memory to a device. Needs the GIL; releases it for large arrays.
BufferRef put_dense(DenseArray dense, Device* device, HostSemantics copy = HostSemantics::kCopy);
// Throws TypeError for a NumPy subclass whose memory does not say all (masked arrays).
void refuse_masked(PyObject* value);

}  // namespace anima
