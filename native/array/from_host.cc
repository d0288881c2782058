// array_from_host(): host values as arrays, with a say in dtype and copying.
#include "array/array_type.h"
#include "array/hooks.h"
#include "array/host_value.h"
#include "common/deferred.h"

namespace anima {
namespace {

// The device reads the array's own memory; the array turns read-only and lives until the device is done.
BufferRef share_array(PyArrayObject* array, const DenseArray& dense, Device* device) {
  BlockRef block = block_of(array);
  std::function<void()> done;
  if (block) {
    done = [block] {};
  } else {
    PyObject* owner = Py_NewRef(as_object(array));
    done = [owner] { defer_decref(owner); };
  }
  BufferRef buffer = device->client->from_host(dense.data, dense.type, dense.dims, device,
                                               HostSemantics::kZeroCopy, std::move(done));
  freeze(array);
  return buffer;
}

// Why a device cannot use the array's memory as it is, or null if it can.
const char* obstacle_to_sharing(PyArrayObject* array, const DenseArray& dense, const Device* device) {
  if (!is_host_device(device)) return "the device has a memory of its own";
  if (PyArray_DATA(array) != dense.data)
    return "its elements are not dense, or of another byte order or dtype";
  if (bits_of(dense.type) < 8) return "the device packs several elements of this dtype into a byte";
  if (!is_aligned(dense.data)) return "it is not aligned to 64 bytes (aligned_empty() gives memory that is)";
  return nullptr;
}

// True if the array is all of a block of ours, so that nothing else is made read-only along with it.
bool is_whole_block(PyArrayObject* array) {
  BlockRef block = block_of(array);
  return block && block->data() == PyArray_DATA(array) &&
         block->bytes() == static_cast<size_t>(PyArray_NBYTES(array));
}

PyRef as_numpy_of(PyObject* value, PyObject* dtype) {
  PyRef numpy;
  if (dtype != nullptr) {
    PyRef wanted = PyRef::borrow(dtype_of_type(type_of_dtype(dtype)));
    int flags = NPY_ARRAY_FORCECAST | (PyArray_Check(value) ? 0 : NPY_ARRAY_CARRAY_RO);
    numpy = PyRef::steal(checked(PyArray_FromAny(value, as_descr(wanted.release()), 0, 0, flags, nullptr)));
  } else {
    numpy = PyRef::borrow(value);
  }
  return numpy;
}

bool is_host_value(PyObject* value) {
  return PyArray_Check(value) || PyArray_IsScalar(value, Generic) || PyBool_Check(value) ||
         PyLong_Check(value) || PyFloat_Check(value) || PyComplex_Check(value);
}

PyObject* from_array(PyArrayObject* array, Device* device, PyObject* copy, bool canonical, bool weak,
                     bool committed) {
  DenseArray dense = read_numpy(array, canonical);
  AvalRef aval = intern_aval(dense.type, dense.dims, weak);
  const char* obstacle = copy == Py_True ? "a copy is wanted" : obstacle_to_sharing(array, dense, device);
  if (copy == Py_False && obstacle != nullptr) {
    throw_python(PyExc_ValueError,
                 "array_from_host: copy=False, but %s cannot use the memory of this array: %s",
                 device->describe().c_str(), obstacle);
  }
  bool share = obstacle == nullptr && (copy == Py_False || is_whole_block(array));
  BufferRef buffer = share ? share_array(array, dense, device) : put_dense(std::move(dense), device);
  return make_array(std::move(aval), std::move(buffer), committed);
}

}  // namespace

PyObject* array_from_host(PyObject* value, Device* device, PyObject* copy, PyObject* dtype,
                          PyObject* weak_type, bool committed) {
  run_deferred_releases();
  if (!is_host_value(value)) {
    throw_python(PyExc_TypeError,
                 "array_from_host: `value` must be a NumPy array or scalar or a Python number, got "
                 "%.200s: convert it with numpy.asarray first",
                 Py_TYPE(value)->tp_name);
  }
  int weak = weak_type == nullptr ? -1 : PyObject_IsTrue(weak_type);
  if (weak_type != nullptr) checked_status(weak);
  if (dtype != nullptr && is_extended_dtype(dtype)) {
    PyRef stored = PyRef::steal(array_from_host(value, device, copy, nullptr, weak_type, committed));
    return array_with(as_array(stored.get()), nullptr, dtype, nullptr, nullptr);
  }
  if (!PyArray_Check(value) && copy == Py_False) {
    throw_python(PyExc_ValueError,
                 "array_from_host: copy=False, but a scalar has no memory that could be shared");
  }
  if (dtype == nullptr && !PyArray_Check(value)) {
    HostValue put = put_host_value(value, device);
    if (weak >= 0 && put.aval->weak != (weak != 0))
      put.aval = intern_aval(put.aval->type, put.aval->dims, weak != 0);
    return make_array(std::move(put.aval), std::move(put.buffer), committed);
  }
  refuse_masked(value);
  PyRef numpy = as_numpy_of(value, dtype);
  return from_array(as_numpy(numpy.get()), device, copy, dtype == nullptr, weak == 1, committed);
}

}  // namespace anima
