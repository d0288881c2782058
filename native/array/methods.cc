// Methods of arrays, those of the protocols that have files of their own excepted.
#include "array/array_type.h"
#include "array/hooks.h"
#include "array/host_view.h"
#include "array/numpy_api.h"

namespace anima {
namespace {

template <PyObject* (*Call)(ArrayObject*)>
PyObject* method(PyObject* self, PyObject*) {
  return guarded<PyObject*>(nullptr, [&] { return checked(Call(as_array(self))); });
}

PyObject* none() {
  Py_INCREF(Py_None);
  return Py_None;
}

PyObject* devices(ArrayObject* array) {
  PyRef all;
  if (array->sharding != nullptr) {
    all = PyRef::steal(checked(PyObject_GetAttrString(array->sharding, "addressable_devices")));
  } else {
    PyRef device = PyRef::steal(python_device(array->device));
    all = PyRef::steal(checked(PyTuple_Pack(1, device.get())));
  }
  return PySet_New(all.get());
}

PyObject* deleted(ArrayObject* array) { return PyBool_FromLong(is_deleted(array)); }

PyObject* remove(ArrayObject* array) {
  delete_array(array);
  return none();
}

PyObject* wait(ArrayObject* array) {
  await_ready(array);
  return Py_NewRef(reinterpret_cast<PyObject*>(array));
}

PyObject* ready(ArrayObject* array) {
  check_live(array);
  for (const BufferRef& shard : array->shards) {
    if (!shard->is_ready()) Py_RETURN_FALSE;
  }
  Py_RETURN_TRUE;
}

PyObject* bytes_on_device(ArrayObject* array) {
  check_live(array);
  size_t total = 0;
  for (const BufferRef& shard : array->shards) total += shard->bytes_on_device();
  return PyLong_FromSize_t(total);
}

PyObject* pointer(ArrayObject* array) {
  if (array->shards.size() > 1) {
    throw_python(PyExc_ValueError, "unsafe_buffer_pointer() needs an array of one shard, this one has %zu",
                 array->shards.size());
  }
  return PyLong_FromVoidPtr(await_buffer(array)->unsafe_pointer());
}

// Pickled as (rebuild, (contents, weak type, extended dtype or None)): a device cannot be written down.
PyObject* reduce(ArrayObject* array) {
  PyRef contents = PyRef::steal(host_array(array));
  PyRef module = PyRef::steal(checked(PyImport_ImportModule("anima._native")));
  PyRef rebuild = PyRef::steal(checked(PyObject_GetAttrString(module.get(), "array_from_pickle")));
  PyObject* extended = array->aval->extended ? array->aval->extended.get() : Py_None;
  return Py_BuildValue("O(OOO)", rebuild.get(), contents.get(), array->aval->weak ? Py_True : Py_False,
                       extended);
}

PyObject* copy_to_host_async(ArrayObject* array) {
  begin_host_copy(array);
  return none();
}

PyObject* deepcopy(PyObject* self, PyObject*) { return method<copy_array>(self, nullptr); }

template <class Fn>
PyCFunction as_function(Fn* fn) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fn));
}

}  // namespace

PyMethodDef array_methods[] = {
    {"devices", method<devices>, METH_NOARGS,
     "devices($self)\n--\n\n"
     "The set of devices that hold the array."},
    {"is_deleted", method<deleted>, METH_NOARGS,
     "is_deleted($self)\n--\n\n"
     "Whether the contents were deleted or donated."},
    {"delete", method<remove>, METH_NOARGS,
     "delete($self)\n--\n\n"
     "Give up the contents now. Memory that other arrays or views use stays until they are gone too."},
    {"block_until_ready", method<wait>, METH_NOARGS,
     "block_until_ready($self)\n--\n\n"
     "Wait until the contents are computed; returns the array. Raises the error that the computation ended "
     "with."},
    {"is_ready", method<ready>, METH_NOARGS,
     "is_ready($self)\n--\n\n"
     "Whether block_until_ready() would return at once."},
    {"on_device_size_in_bytes", method<bytes_on_device>, METH_NOARGS,
     "on_device_size_in_bytes($self)\n--\n\n"
     "The device memory that all shards take."},
    {"unsafe_buffer_pointer", method<pointer>, METH_NOARGS,
     "unsafe_buffer_pointer($self)\n--\n\n"
     "The address of the contents on the device, once computed. Nothing keeps them there but the array."},
    {"copy_to_host_async", method<copy_to_host_async>, METH_NOARGS,
     "copy_to_host_async($self)\n--\n\n"
     "Begin to fetch the contents that a later conversion to NumPy will need."},
    {"item", array_item, METH_VARARGS,
     "item($self, /, *args)\n--\n\n"
     "One element as a Python number."},
    {"tolist", array_tolist, METH_NOARGS,
     "tolist($self)\n--\n\n"
     "The elements as nested lists of Python numbers."},
    {"__array__", as_function(array_to_numpy), METH_FASTCALL | METH_KEYWORDS,
     "__array__($self, dtype=None, copy=None)\n--\n\n"
     "The contents as a NumPy array; read-only and, in host memory, without a copy."},
    {"__complex__", array_as_complex, METH_NOARGS, "__complex__($self)\n--\n\n"},
    {"__dlpack__", as_function(array_dlpack), METH_FASTCALL | METH_KEYWORDS,
     "__dlpack__($self, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\n"
     "The contents as a DLPack capsule."},
    {"__dlpack_device__", array_dlpack_device, METH_NOARGS,
     "__dlpack_device__($self)\n--\n\n"
     "DLPack's (device type, device id)."},
    {"__reduce__", method<reduce>, METH_NOARGS, "__reduce__($self)\n--\n\n"},
    {"__copy__", method<copy_array>, METH_NOARGS, "__copy__($self)\n--\n\n"},
    {"__deepcopy__", deepcopy, METH_O, "__deepcopy__($self, memo, /)\n--\n\n"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace anima
