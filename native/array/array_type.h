// The Python type of arrays, in parts: slots, attributes, methods.
#pragma once

#include <Python.h>

#include "array/array.h"

namespace anima {

// array.cc
void dealloc_array(PyObject* self);
int traverse_array(PyObject* self, visitproc visit, void* arg);
int clear_array(PyObject* self);
// Gives up the contents; memory that no other array or view uses is freed at once.
void delete_array(ArrayObject* array);

// attributes.cc, methods.cc
extern PyGetSetDef array_attributes[];
extern PyMethodDef array_methods[];

// scalars.cc: the number protocol's conversions
int array_as_bool(PyObject* self);
PyObject* array_as_int(PyObject* self);
PyObject* array_as_float(PyObject* self);
PyObject* array_as_index(PyObject* self);
PyObject* array_as_complex(PyObject* self, PyObject*);
PyObject* array_item(PyObject* self, PyObject* args);
PyObject* array_tolist(PyObject* self, PyObject*);

// dlpack_out.cc
PyObject* array_dlpack(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names);
PyObject* array_dlpack_device(PyObject* self, PyObject*);

// variants.cc: arrays made from arrays
// An array of the same buffers under another aval; null keeps what the array has. New reference.
PyObject* array_with(ArrayObject* array, PyObject* weak_type, PyObject* dtype, PyObject* committed,
                     PyObject* sharding);
PyObject* array_from_shards(PyObject* shape, PyObject* dtype, bool weak, PyObject* sharding,
                            PyObject* arrays);
PyObject* copy_to_device(ArrayObject* array, Device* device);
PyObject* copy_array(ArrayObject* array);         // on the same devices
BufferRef clone_buffer(const BufferRef& buffer);  // on the same device
PyObject* shard_list(ArrayObject* array);         // single-device arrays, one a shard

// from_host.cc
PyObject* array_from_host(PyObject* value, Device* device, PyObject* copy, PyObject* dtype,
                          PyObject* weak_type, bool committed);
// dlpack_in.cc; `device` may be null, `copy` is None, True or False
PyObject* from_dlpack_capsule(PyObject* capsule, Device* device, PyObject* copy);

}  // namespace anima
