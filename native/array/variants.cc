// Arrays made from arrays: another aval over the same buffers, other devices, shards put together.
#include <algorithm>

#include "array/array_type.h"
#include "array/hooks.h"
#include "array/host_value.h"
#include "array/host_view.h"

namespace anima {
namespace {

bool is_true(PyObject* value) {
  int truth = PyObject_IsTrue(value);
  if (truth < 0) throw PythonError();
  return truth != 0;
}

// The aval of the same bytes read as `dtype`.
AvalRef reinterpret(const AvalInfo& from, PyObject* dtype, bool weak) {
  if (!is_extended_dtype(dtype)) {
    PJRT_Buffer_Type type = type_of_dtype(dtype);
    bool allowed = type == from.type || (bits_of(type) == bits_of(from.type) && bits_of(type) >= 8 &&
                                         type != PJRT_Buffer_Type_PRED);
    if (!allowed) {
      throw_python(PyExc_ValueError,
                   "array_with: an array stored as %S cannot be read as %S without a conversion",
                   dtype_of_type(from.type), dtype);
    }
    return intern_aval(type, from.physical_dims, weak);
  }
  AvalRef element = intern_aval(from.type, {}, weak, dtype);  // throws if it is stored as another type
  const std::vector<int64_t>& inner = element->physical_dims;
  const std::vector<int64_t>& stored = from.physical_dims;
  if (inner.size() > stored.size() || !std::equal(inner.rbegin(), inner.rend(), stored.rbegin())) {
    throw_python(PyExc_ValueError,
                 "array_with: the trailing dimensions of an array of shape %S are not an element of %S",
                 from.shape.get(), dtype);
  }
  std::vector<int64_t> outer(stored.begin(), stored.end() - static_cast<std::ptrdiff_t>(inner.size()));
  return intern_aval(from.type, outer, weak, dtype);
}

std::vector<int64_t> shard_dims(PyObject* sharding, PyObject* shape) {
  PyRef dims = PyRef::steal(checked(PyObject_CallMethod(sharding, "shard_shape", "(O)", shape)));
  return dims_of(dims.get());
}

void check_shard(PyObject* item, const AvalInfo& expected, Py_ssize_t index) {
  if (!is_array(item)) {
    throw_python(PyExc_TypeError, "array_from_shards: arrays[%zd] must be an ArrayImpl, got %.200s", index,
                 Py_TYPE(item)->tp_name);
  }
  ArrayObject* shard = as_array(item);
  check_live(shard);
  if (shard->shards.size() != 1) {
    throw_python(PyExc_ValueError,
                 "array_from_shards: arrays[%zd] must live on one device, it has %zu shards", index,
                 shard->shards.size());
  }
  const AvalInfo& aval = *shard->aval;
  if (aval.type != expected.type || aval.extended.get() != expected.extended.get()) {
    throw_python(PyExc_TypeError, "array_from_shards: arrays[%zd] has dtype %S, the whole array %S", index,
                 aval.dtype.get(), expected.dtype.get());
  }
  if (aval.dims != expected.dims || aval.physical_dims != expected.physical_dims) {
    throw_python(PyExc_ValueError,
                 "array_from_shards: arrays[%zd] has shape %S, its share of the whole is %S", index,
                 aval.shape.get(), expected.shape.get());
  }
}

// Every addressable device of the sharding must hold exactly one shard.
void check_devices(const Shards& shards, PyObject* sharding) {
  PyRef expected = PyRef::steal(checked(PyObject_GetAttrString(sharding, "addressable_devices")));
  PyRef seen = PyRef::steal(checked(PySet_New(nullptr)));
  for (size_t i = 0; i < shards.size(); ++i) {
    PyRef device = PyRef::steal(python_device(shards[i]->device()));
    if (checked_status(PySequence_Contains(expected.get(), device.get())) == 0) {
      throw_python(PyExc_ValueError,
                   "array_from_shards: arrays[%zu] is on %S, which is no device of the sharding %R", i,
                   device.get(), sharding);
    }
    if (checked_status(PySet_Contains(seen.get(), device.get())) != 0) {
      throw_python(PyExc_ValueError, "array_from_shards: arrays[%zu] is a second one on %S", i, device.get());
    }
    checked_status(PySet_Add(seen.get(), device.get()));
  }
  Py_ssize_t count = PyObject_Size(expected.get());
  checked_status(count < 0 ? -1 : 0);
  if (static_cast<size_t>(count) != shards.size()) {
    throw_python(PyExc_ValueError,
                 "array_from_shards: %zu arrays given, the sharding %R has %zd devices here", shards.size(),
                 sharding, count);
  }
}

// What a sharding says of its shards is Python's word, and the memory behind them is read by it.
void check_shards(const Shards& shards, const AvalInfo& aval, PyObject* sharding) {
  for (const BufferRef& shard : shards) {
    if (shard->type() == aval.type && shard->dims() == aval.physical_dims) continue;
    throw_python(PyExc_ValueError, "the shards of an array are not of the shape %S that its sharding %R says",
                 aval.shape.get(), sharding);
  }
}

}  // namespace

BufferRef clone_buffer(const BufferRef& buffer) {
  NoGil nogil;
  PJRT_Buffer_Type type = buffer->type();
  std::vector<int64_t> dims = buffer->dims();
  if (is_host_device(buffer->device()) && bits_of(type) >= 8) {
    buffer->await_ready();
    InPlace contents(buffer);
    return buffer->device()->client->from_host(contents.address(), type, dims, buffer->device(),
                                               HostSemantics::kCopy, nullptr);
  }
  Block block(dense_bytes(type, dims));
  buffer->copy_to_host(block.data(), block.bytes());
  return buffer->device()->client->from_host(block.data(), type, dims, buffer->device(), HostSemantics::kCopy,
                                             nullptr);
}

PyObject* array_with(ArrayObject* array, PyObject* weak_type, PyObject* dtype, PyObject* committed,
                     PyObject* sharding) {
  check_live(array);
  bool weak = weak_type != nullptr ? is_true(weak_type) : array->aval->weak;
  bool now_committed = committed != nullptr ? is_true(committed) : array->committed;
  AvalRef aval = dtype != nullptr
                     ? reinterpret(*array->aval, dtype, weak)
                     : intern_aval(array->aval->type, array->aval->dims, weak, array->aval->extended.get());
  if (aval->physical_dims != array->aval->physical_dims) {
    throw_python(PyExc_ValueError, "array_with: the extended dtype %R changed how it is stored",
                 aval->dtype.get());
  }
  if (sharding == nullptr) {
    if (array->sharding != nullptr && aval->dims.size() != array->aval->dims.size()) {
      throw_python(PyExc_ValueError,
                   "array_with: reading the array as %S changes its rank, so its sharding %R no longer "
                   "fits: pass `sharding`",
                   dtype, array->sharding);
    }
    sharding = array->sharding;
  }
  return make_array(std::move(aval), array->shards, sharding, now_committed);
}

PyObject* array_from_shards(PyObject* shape, PyObject* dtype, bool weak, PyObject* sharding,
                            PyObject* arrays) {
  AvalRef whole = intern_aval(shape, dtype, weak);
  AvalRef part =
      intern_aval(whole->type, shard_dims(sharding, whole->shape.get()), weak, whole->extended.get());
  PyRef items =
      PyRef::steal(PySequence_Fast(arrays, "array_from_shards: `arrays` must be a sequence of arrays"));
  checked(items.get());
  Shards shards;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
    check_shard(item, *part, i);
    shards.push_back(as_array(item)->shards[0]);
  }
  if (shards.empty())
    throw_python(PyExc_ValueError, "array_from_shards: `arrays` must hold at least one array");
  check_devices(shards, sharding);
  if (shards.size() == 1) {
    if (part->physical_dims != whole->physical_dims) {
      throw_python(PyExc_ValueError,
                   "array_from_shards: one array of shape %S is not the whole array, of shape %S",
                   part->shape.get(), whole->shape.get());
    }
    // One device has one way to say so, and arrays without a sharding object are cheaper.
    PyRef single = PyRef::steal(device_sharding(shards[0]->device()));
    int equal = checked_status(PyObject_RichCompareBool(single.get(), sharding, Py_EQ));
    if (equal) sharding = nullptr;
  }
  return make_array(std::move(whole), std::move(shards), sharding, true);
}

PyObject* shard_list(ArrayObject* array) {
  check_live(array);
  AvalRef aval = array->aval;
  Shards shards = array->shards;
  if (shards.size() > 1) {
    PyRef sharding = PyRef::steal(array_sharding(array));
    aval = intern_aval(aval->type, shard_dims(sharding.get(), aval->shape.get()), aval->weak,
                       aval->extended.get());
    check_shards(shards, *aval, sharding.get());
  }
  PyRef list = PyRef::steal(checked(PyList_New(0)));
  for (BufferRef& shard : shards) {
    PyRef part = PyRef::steal(make_array(aval, std::move(shard), true));
    checked_status(PyList_Append(list.get(), part.get()));
  }
  return list.release();
}

PyObject* copy_array(ArrayObject* array) {
  check_live(array);
  PyRef sharding = PyRef::borrow(array->sharding);
  AvalRef aval = array->aval;
  bool committed = array->committed;
  Shards copies, shards = array->shards;
  for (const BufferRef& shard : shards) copies.push_back(clone_buffer(shard));
  return make_array(std::move(aval), std::move(copies), sharding.get(), committed);
}

PyObject* copy_to_device(ArrayObject* array, Device* device) {
  check_live(array);
  AvalRef aval = array->aval;
  BufferRef copy;
  if (array->shards.size() != 1) {
    PyRef whole = PyRef::steal(host_array(array));
    copy = put_dense(read_numpy(as_numpy(whole.get()), false), device);
  } else if (BufferRef from = array->shards[0]; from->device() == device) {
    copy = clone_buffer(from);
  } else {
    NoGil nogil;
    copy = from->copy_to(device);
  }
  return make_array(std::move(aval), std::move(copy), true);
}

}  // namespace anima
