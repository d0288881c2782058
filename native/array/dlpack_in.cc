// DLPack capsules as arrays.
//
// Invariant: a capsule is taken over only once nothing can fail any more; until then its own destructor
// frees what it holds. The producer's deleter runs once, with the GIL held.
#include <memory>

#include "array/array_type.h"
#include "array/dlpack.h"
#include "array/hooks.h"
#include "array/host_value.h"
#include "common/deferred.h"

namespace anima {
namespace {

using dlpack::Managed;
using dlpack::ManagedVersioned;
using dlpack::Tensor;

template <class T>
void run_deleter(void* object) {
  T* managed = static_cast<T*>(object);
  if (managed->deleter != nullptr) managed->deleter(managed);
}

// A capsule before it is taken over.
struct Offer {
  const Tensor* tensor;
  void* managed;
  void (*release)(void*);
  const char* used_name;
};

Offer open_capsule(PyObject* capsule) {
  if (!PyCapsule_CheckExact(capsule)) {
    throw_python(PyExc_TypeError, "from_dlpack_capsule: `capsule` must be a DLPack capsule, got %.200s",
                 Py_TYPE(capsule)->tp_name);
  }
  if (PyCapsule_IsValid(capsule, dlpack::kName)) {
    auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, dlpack::kName));
    return {&managed->tensor, managed, run_deleter<Managed>, dlpack::kUsedName};
  }
  if (PyCapsule_IsValid(capsule, dlpack::kVersionedName)) {
    auto* managed = static_cast<ManagedVersioned*>(PyCapsule_GetPointer(capsule, dlpack::kVersionedName));
    if (managed->version.major != 1) {
      throw_python(PyExc_BufferError,
                   "from_dlpack_capsule: DLPack version %u.%u is not known here (only 1.x is)",
                   managed->version.major, managed->version.minor);
    }
    return {&managed->tensor, managed, run_deleter<ManagedVersioned>, dlpack::kUsedVersionedName};
  }
  const char* name = PyCapsule_GetName(capsule);
  if (PyErr_Occurred()) throw PythonError();
  throw_python(PyExc_ValueError,
               "from_dlpack_capsule: the capsule is named %s: a DLPack capsule can be used once only",
               name != nullptr ? name : "(none)");
}

PJRT_Buffer_Type read_type(const Tensor& tensor) {
  for (const dlpack::TypePair& pair : dlpack::kTypes) {
    if (pair.code == tensor.dtype.code && pair.bits == tensor.dtype.bits && tensor.dtype.lanes == 1)
      return pair.type;
  }
  throw_python(PyExc_BufferError,
               "from_dlpack_capsule: no array dtype for DLPack type code %d with %d bits and %d lanes",
               static_cast<int>(tensor.dtype.code), static_cast<int>(tensor.dtype.bits),
               static_cast<int>(tensor.dtype.lanes));
}

// The address of the first element.
void* read_address(const Tensor& tensor, const AvalInfo& aval) {
  if (aval.size == 0) return tensor.data;
  if (tensor.data == nullptr) {
    throw_python(PyExc_BufferError, "from_dlpack_capsule: a tensor of shape %S has no memory",
                 aval.shape.get());
  }
  return static_cast<char*>(tensor.data) + tensor.byte_offset;
}

void check_device(const Tensor& tensor) {
  if (tensor.device.type == dlpack::kCpu || tensor.device.type == dlpack::kCudaHost) return;
  throw_python(PyExc_BufferError,
               "from_dlpack_capsule: the memory is on DLPack device (%d, %d), which the host cannot "
               "read: export it with dl_device=(1, 0), or copy it to the host first",
               static_cast<int>(tensor.device.type), static_cast<int>(tensor.device.id));
}

bool is_dense(const Tensor& tensor, const std::vector<int64_t>& dims) {
  if (tensor.strides == nullptr) return true;
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    if (dims[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= dims[i];
  }
  return true;
}

// The tensor as a NumPy array that owns nothing, for copying.
PyRef numpy_view(const Tensor& tensor, const std::vector<int64_t>& dims, PJRT_Buffer_Type type, void* data) {
  npy_intp shape[NPY_MAXDIMS], strides[NPY_MAXDIMS];
  auto itemsize = static_cast<npy_intp>(host_itemsize(type));
  for (size_t i = 0; i < dims.size(); ++i) {
    shape[i] = static_cast<npy_intp>(dims[i]);
    int64_t stride = tensor.strides != nullptr ? tensor.strides[i] : 0;
    if (__builtin_mul_overflow(stride, itemsize, &strides[i])) {
      throw_python(PyExc_BufferError, "from_dlpack_capsule: stride %lld is out of range",
                   static_cast<long long>(stride));
    }
  }
  PyObject* dtype = Py_NewRef(dtype_of_type(type));
  return PyRef::steal(
      checked(PyArray_NewFromDescr(&PyArray_Type, as_descr(dtype), static_cast<int>(dims.size()), shape,
                                   tensor.strides != nullptr ? strides : nullptr, data, 0, nullptr)));
}

std::vector<int64_t> read_dims(const Tensor& tensor) {
  if (tensor.ndim < 0 || tensor.ndim > NPY_MAXDIMS || (tensor.ndim > 0 && tensor.shape == nullptr)) {
    throw_python(PyExc_BufferError,
                 "from_dlpack_capsule: a tensor of %d dimensions cannot be imported (NumPy's limit is %d)",
                 static_cast<int>(tensor.ndim), NPY_MAXDIMS);
  }
  return std::vector<int64_t>(tensor.shape, tensor.shape + tensor.ndim);
}

const char* obstacle_to_sharing(const Tensor& tensor, const AvalInfo& aval, PJRT_Buffer_Type given,
                                const void* data, const Device* device) {
  if (!is_host_device(device)) return "the device has a memory of its own";
  if (aval.type != given) return "its dtype needs 64-bit mode";
  if (aval.size == 0) return "it is empty";
  if (!is_dense(tensor, aval.dims)) return "its elements are not dense in row-major order";
  if (!is_aligned(data)) return "it is not aligned to 64 bytes";
  return nullptr;
}

}  // namespace

PyObject* from_dlpack_capsule(PyObject* capsule, Device* device, PyObject* copy) {
  run_deferred_releases();
  Offer offer = open_capsule(capsule);
  const Tensor& tensor = *offer.tensor;
  check_device(tensor);
  PJRT_Buffer_Type given = read_type(tensor);
  AvalRef aval = intern_aval(canonical_type(given), read_dims(tensor), false);
  bool committed = device != nullptr;
  if (device == nullptr) device = default_device();
  void* data = read_address(tensor, *aval);
  const char* obstacle =
      copy == Py_True ? "a copy is wanted" : obstacle_to_sharing(tensor, *aval, given, data, device);
  if (copy == Py_False && obstacle != nullptr && aval->size != 0) {
    throw_python(PyExc_BufferError, "from_dlpack_capsule: copy=False, but %s cannot use this memory: %s",
                 device->describe().c_str(), obstacle);
  }
  BufferRef buffer;
  if (obstacle == nullptr) {
    if (PyCapsule_SetName(capsule, offer.used_name) < 0) throw PythonError();
    buffer = device->client->from_host(data, given, aval->dims, device, HostSemantics::kZeroCopy,
                                       [offer] { defer_release(offer.release, offer.managed); });
  } else {
    PyRef view = numpy_view(tensor, aval->dims, given, data);
    buffer = put_dense(read_numpy(as_numpy(view.get()), true), device);
    if (PyCapsule_SetName(capsule, offer.used_name) < 0) throw PythonError();
    offer.release(offer.managed);
  }
  return make_array(std::move(aval), std::move(buffer), committed);
}

}  // namespace anima
