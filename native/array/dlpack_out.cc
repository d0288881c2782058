// Arrays as DLPack capsules.
//
// Invariant: what a capsule owns holds no Python object, so a consumer may release it on any thread. It
// keeps the array's memory in place; memory that is the array's own is marked read-only where the
// version of the protocol can say so.
#include <memory>

#include "array/array_type.h"
#include "array/dlpack.h"
#include "array/hooks.h"
#include "array/host_view.h"
#include "array/transfers.h"
#include "common/args.h"

namespace anima {
namespace {

using dlpack::DeviceId;
using dlpack::Managed;
using dlpack::ManagedVersioned;

// The owner of what a capsule shows: a buffer held in place, or a copy on the host.
struct Source {
  BufferRef buffer;
  BlockRef block;
  DeviceId device;
  bool copied;
};

template <class T>
struct Export {
  T managed{};
  Source source;
  std::vector<int64_t> shape, strides;
};

template <class T>
void delete_export(T* managed) {
  auto* owner = static_cast<Export<T>*>(managed->context);
  if (owner->source.buffer) {
    try {
      owner->source.buffer->unhold();
    } catch (const std::exception&) {
      // Nobody can be told here; the memory is given up with the buffer.
    }
  }
  delete owner;
}

template <class T>
void destroy_capsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;  // renamed: its consumer has taken over
  auto* managed = static_cast<T*>(PyCapsule_GetPointer(capsule, name));
  managed->deleter(managed);
}

void destroy_plain(PyObject* capsule) { destroy_capsule<Managed>(capsule, dlpack::kName); }
void destroy_versioned(PyObject* capsule) {
  destroy_capsule<ManagedVersioned>(capsule, dlpack::kVersionedName);
}

DeviceId device_id(ArrayObject* array) {
  check_live(array);
  if (array->shards.size() != 1) {
    throw_python(PyExc_BufferError,
                 "DLPack needs an array on one device, this one has %zu shards: fetch it with "
                 "numpy.asarray, or pass one of its addressable shards",
                 array->shards.size());
  }
  const Device* device = array->shards[0]->device();
  if (is_host_device(device)) return {dlpack::kCpu, 0};
  if (device->platform == "cuda" || device->platform == "gpu")
    return {dlpack::kCuda, device->local_hardware_id};
  if (device->platform == "rocm") return {dlpack::kRocm, device->local_hardware_id};
  throw_python(PyExc_BufferError, "DLPack knows no devices of platform %s", device->platform.c_str());
}

std::pair<long, long> read_pair(PyObject* value, const char* name) {
  std::pair<long, long> pair;
  if (!PyTuple_Check(value) || !PyArg_ParseTuple(value, "ll", &pair.first, &pair.second)) {
    PyErr_Clear();
    throw_python(PyExc_TypeError, "__dlpack__: `%s` must be a pair of int, got %R", name, value);
  }
  return pair;
}

Source open_source(ArrayObject* array, PyObject* target, PyObject* copy) {
  Source source{nullptr, nullptr, device_id(array), false};
  bool to_host = false;
  if (target != nullptr) {
    auto [type, id] = read_pair(target, "dl_device");
    to_host = type == dlpack::kCpu && source.device.type != dlpack::kCpu;
    if (!to_host && (type != source.device.type || id != source.device.id)) {
      throw_python(PyExc_BufferError,
                   "__dlpack__: the array is on DLPack device (%d, %d) and can be exported there or "
                   "to the host, not to %R: copy it with device_put first",
                   static_cast<int>(source.device.type), static_cast<int>(source.device.id), target);
    }
  }
  if (to_host && copy == Py_False) {
    throw_python(PyExc_BufferError, "__dlpack__: copy=False, but the contents are not in host memory");
  }
  BufferRef buffer = await_buffer(array);
  source.copied = to_host || copy == Py_True;
  if (to_host) {
    announce_transfer("device_to_host", *array->aval, nullptr);
    source.device = {dlpack::kCpu, 0};
    source.block = std::make_shared<Block>(array->aval->nbytes);
    NoGil nogil;
    buffer->copy_to_host(source.block->data(), source.block->bytes());
    return source;
  }
  if (source.copied) {
    buffer = clone_buffer(buffer);
    NoGil nogil;
    buffer->await_ready();
  }
  buffer->hold();
  source.buffer = std::move(buffer);
  return source;
}

void* address_of(const Source& source) {
  return source.block ? source.block->data() : source.buffer->unsafe_pointer();
}

dlpack::DataType data_type(const AvalInfo& aval) {
  for (const dlpack::TypePair& pair : dlpack::kTypes) {
    if (pair.type == aval.type && !aval.extended) return {pair.code, pair.bits, 1};
  }
  throw_python(PyExc_BufferError, "DLPack has no form for dtype %S", aval.dtype.get());
}

template <class T>
PyObject* make_capsule(ArrayObject* array, Source source, const char* name, PyCapsule_Destructor destroy) {
  const AvalInfo& aval = *array->aval;
  auto owner = std::make_unique<Export<T>>();
  owner->source = std::move(source);
  owner->shape = aval.dims;
  owner->strides.resize(aval.dims.size());
  int64_t stride = 1;
  for (size_t i = aval.dims.size(); i-- > 0;) {
    owner->strides[i] = stride;
    if (__builtin_mul_overflow(stride, aval.dims[i], &stride)) break;  // an empty array: any will do
  }
  T& managed = owner->managed;
  managed.context = owner.get();
  managed.deleter = delete_export<T>;
  dlpack::Tensor& tensor = managed.tensor;
  tensor.device = owner->source.device;
  tensor.ndim = static_cast<int32_t>(aval.dims.size());
  tensor.dtype = data_type(aval);
  tensor.shape = owner->shape.data();
  tensor.strides = owner->strides.data();
  if constexpr (std::is_same_v<T, ManagedVersioned>) {
    managed.version = {1, 1};
    managed.flags = owner->source.copied ? dlpack::kCopied : dlpack::kReadOnly;
  }
  T* exported = &owner.release()->managed;  // its deleter owns it from here on
  PyObject* capsule = nullptr;
  try {
    tensor.data = aval.size == 0 ? nullptr : address_of(static_cast<Export<T>*>(exported->context)->source);
    capsule = checked(PyCapsule_New(exported, name, destroy));
  } catch (...) {
    exported->deleter(exported);
    throw;
  }
  return capsule;
}

}  // namespace

PyObject* array_dlpack(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    static constexpr const char* kNames[] = {"stream", "max_version", "dl_device", "copy"};
    PyObject* given[4];
    parse_args("__dlpack__", kNames, 0, CallArgs{args, count, names}, given);
    if (count > 0) throw_python(PyExc_TypeError, "__dlpack__() takes keyword arguments only");
    ArrayObject* array = as_array(self);
    check_live(array);
    data_type(*array->aval);
    PyObject* version = none_to_null(given[1] != nullptr ? given[1] : Py_None);
    bool versioned = version != nullptr && read_pair(version, "max_version").first >= 1;
    // The contents are complete before the capsule exists, so the consumer's stream has nothing to wait for.
    Source source = open_source(array, given[2] != nullptr ? none_to_null(given[2]) : nullptr, given[3]);
    if (versioned) {
      return make_capsule<ManagedVersioned>(array, std::move(source), dlpack::kVersionedName,
                                            destroy_versioned);
    }
    return make_capsule<Managed>(array, std::move(source), dlpack::kName, destroy_plain);
  });
}

PyObject* array_dlpack_device(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&] {
    DeviceId device = device_id(as_array(self));
    return checked(Py_BuildValue("(ii)", static_cast<int>(device.type), static_cast<int>(device.id)));
  });
}

}  // namespace anima
