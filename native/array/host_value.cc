// NumPy arrays on their way to a device.
//
// Invariant: when these functions return, the device no longer reads the caller's array.
#include "array/host_value.h"

#include <cstring>

#include "array/hooks.h"

namespace anima {
namespace {

constexpr size_t kLongCopy = 32 << 10;  // bytes; copying less takes less time than handing over the GIL

template <class From, class To>
void convert(const void* from, void* to, int64_t count) {
  const From* source = static_cast<const From*>(from);
  To* target = static_cast<To*>(to);
  for (int64_t i = 0; i < count; ++i) target[i] = static_cast<To>(source[i]);
}

void narrow(PJRT_Buffer_Type from, const void* source, void* target, int64_t count) {
  switch (from) {
    case PJRT_Buffer_Type_S64:
    case PJRT_Buffer_Type_U64:  // the low 32 bits either way, as NumPy's astype keeps
      return convert<uint64_t, uint32_t>(source, target, count);
    case PJRT_Buffer_Type_F64:
      return convert<double, float>(source, target, count);
    default:  // complex128: pairs of doubles
      return convert<double, float>(source, target, 2 * count);
  }
}

// Runs `fn` with the GIL released if it moves many bytes.
template <class Fn>
auto without_gil(size_t bytes, Fn&& fn) {
  if (bytes < kLongCopy) return fn();
  NoGil nogil;
  return fn();
}

std::vector<int64_t> dims_of_array(PyArrayObject* array) {
  const npy_intp* shape = PyArray_DIMS(array);
  return std::vector<int64_t>(shape, shape + PyArray_NDIM(array));
}

PJRT_Buffer_Type type_of_array(PyArrayObject* array) {
  return type_of_dtype(reinterpret_cast<PyObject*>(PyArray_DESCR(array)));
}

}  // namespace

void refuse_masked(PyObject* value) {
  if (PyArray_CheckExact(value)) return;
  PyObject* module = PyImport_GetModule(PyRef::steal(checked(PyUnicode_FromString("numpy.ma"))).get());
  if (module == nullptr) {
    if (PyErr_Occurred()) throw PythonError();
    return;  // never imported, so it cannot be one
  }
  PyRef owner = PyRef::steal(module);
  PyRef cls = PyRef::steal(checked(PyObject_GetAttrString(module, "MaskedArray")));
  int masked = PyObject_IsInstance(value, cls.get());
  if (masked < 0) throw PythonError();
  if (masked) {
    throw_python(PyExc_TypeError,
                 "numpy masked arrays are not supported: the mask would be lost. Use .filled() "
                 "to replace the masked elements, or pass .data and .mask");
  }
}

DenseArray read_numpy(PyArrayObject* array, bool canonical) {
  DenseArray dense;
  PJRT_Buffer_Type given = type_of_array(array);
  dense.type = canonical ? canonical_type(given) : given;
  dense.dims = dims_of_array(array);
  if (PyArray_IS_C_CONTIGUOUS(array) && PyArray_ISBEHAVED_RO(array)) {
    dense.array = PyRef::borrow(as_object(array));
    dense.data = PyArray_DATA(array);
  } else {
    dense.block = std::make_shared<Block>(dense_bytes(given, dense.dims));
    dense.data = dense.block->data();
    PyRef target = PyRef::steal(numpy_over_block(dense.block, dense.dims, dtype_of_type(given), true));
    checked_status(PyArray_CopyInto(as_numpy(target.get()), array));
  }
  if (dense.type == given) return dense;
  int64_t count = static_cast<int64_t>(PyArray_SIZE(array));
  size_t bytes = dense_bytes(dense.type, dense.dims);
  auto narrowed = std::make_shared<Block>(bytes);
  without_gil(bytes, [&] { narrow(given, dense.data, narrowed->data(), count); });
  dense.data = narrowed->data();
  dense.block = std::move(narrowed);
  dense.array = PyRef();
  return dense;
}

BufferRef put_dense(DenseArray dense, Device* device, HostSemantics copy) {
  size_t bytes = dense_bytes(dense.type, dense.dims);
  if (!dense.block && bytes >= kLargeBlock && is_host_device(device) && bits_of(dense.type) >= 8) {
    // Twice as fast as the plugin's own copy, thanks to the block's huge pages.
    dense.block = std::make_shared<Block>(bytes);
    without_gil(bytes, [&] { return std::memcpy(dense.block->data(), dense.data, bytes); });
    dense.data = dense.block->data();
  }
  // Handing memory over saves a copy, and costs the bookkeeping of its return.
  bool give = dense.block && bytes >= kLongCopy;
  std::function<void()> done;
  if (give) done = [block = dense.block] {};
  return without_gil(bytes, [&] {
    return device->client->from_host(dense.data, dense.type, dense.dims, device,
                                     give ? HostSemantics::kGiven : copy, std::move(done));
  });
}

HostValue put_host_value(PyObject* value, Device* device, HostSemantics copy) {
  Scalar scalar;
  if (read_scalar(value, scalar)) return put_scalar(scalar, device);
  if (!PyArray_Check(value)) return {};
  refuse_masked(value);
  DenseArray dense = read_numpy(as_numpy(value), true);
  HostValue result;
  result.aval = intern_aval(dense.type, dense.dims, false);
  result.buffer = put_dense(std::move(dense), device, copy);
  return result;
}

AvalRef aval_of_host_value(PyObject* value) {
  Scalar scalar;
  if (read_scalar(value, scalar)) return intern_aval(scalar.type, {}, scalar.weak);
  if (!PyArray_Check(value)) return nullptr;
  refuse_masked(value);
  PyArrayObject* array = as_numpy(value);
  return intern_aval(canonical_type(type_of_array(array)), dims_of_array(array), false);
}

}  // namespace anima
