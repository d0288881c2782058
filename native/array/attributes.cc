// Attributes of arrays.
#include "array/array_type.h"
#include "array/hooks.h"
#include "array/host_view.h"
#include "array/numpy_api.h"

namespace anima {
namespace {

template <PyObject* (*Read)(ArrayObject*)>
PyObject* getter(PyObject* self, void*) {
  return guarded<PyObject*>(nullptr, [&] { return checked(Read(as_array(self))); });
}

PyObject* get_aval(ArrayObject* array) { return python_aval(*array->aval); }
PyObject* get_shape(ArrayObject* array) { return array->aval->shape.new_ref(); }
PyObject* get_dtype(ArrayObject* array) { return array->aval->dtype.new_ref(); }
PyObject* get_weak_type(ArrayObject* array) { return PyBool_FromLong(array->aval->weak); }
PyObject* get_ndim(ArrayObject* array) { return PyLong_FromSize_t(array->aval->dims.size()); }
PyObject* get_size(ArrayObject* array) { return PyLong_FromLongLong(array->aval->size); }
PyObject* get_nbytes(ArrayObject* array) { return PyLong_FromSize_t(array->aval->nbytes); }
PyObject* get_committed(ArrayObject* array) { return PyBool_FromLong(array->committed); }

PyObject* get_itemsize(ArrayObject* array) {
  size_t bytes = host_itemsize(array->aval->type);
  const std::vector<int64_t>& dims = array->aval->physical_dims;
  for (size_t i = array->aval->dims.size(); i < dims.size(); ++i) bytes *= static_cast<size_t>(dims[i]);
  return PyLong_FromSize_t(bytes);
}

PyObject* get_device(ArrayObject* array) {
  if (array->sharding != nullptr || array->device == nullptr) return array_sharding(array);
  return python_device(array->device);
}

PyObject* get_fully_addressable(ArrayObject* array) {
  if (array->sharding != nullptr) return PyObject_GetAttrString(array->sharding, "is_fully_addressable");
  return PyBool_FromLong(array->device != nullptr && array->device->addressable);
}

}  // namespace

PyGetSetDef array_attributes[] = {
    {"aval", getter<get_aval>, nullptr, "The abstract value: shape, dtype and weak type.", nullptr},
    {"shape", getter<get_shape>, nullptr, "The dimensions, a tuple of int.", nullptr},
    {"dtype", getter<get_dtype>, nullptr, "The element type.", nullptr},
    {"weak_type", getter<get_weak_type>, nullptr, "Whether the dtype yields to others in promotion.",
     nullptr},
    {"ndim", getter<get_ndim>, nullptr, "The number of dimensions.", nullptr},
    {"size", getter<get_size>, nullptr, "The number of elements.", nullptr},
    {"nbytes", getter<get_nbytes>, nullptr, "The bytes that all elements take in NumPy's form.", nullptr},
    {"itemsize", getter<get_itemsize>, nullptr, "The bytes that one element takes in NumPy's form.", nullptr},
    {"device", getter<get_device>, nullptr, "The device; the sharding if there are several shards.", nullptr},
    {"sharding", getter<array_sharding>, nullptr, "How the array is laid out over devices.", nullptr},
    {"committed", getter<get_committed>, nullptr, "Whether the array was put on its devices on purpose.",
     nullptr},
    {"is_fully_addressable", getter<get_fully_addressable>, nullptr,
     "Whether this process can read every shard.", nullptr},
    {"addressable_shards_data", getter<shard_list>, nullptr, "The shards, each as a single-device array.",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace anima
