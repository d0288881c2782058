// An array's contents on the host.
//
// Invariant: what is given out is read-only and keeps the memory below it alive and in place. Memory of
// the host's own devices is never copied; what was copied from elsewhere is kept with the array.
#pragma once

#include <Python.h>

#include "array/array.h"
#include "array/memory.h"

namespace anima {

// The contents as a read-only numpy array of the physical shape and dtype. Waits. New reference.
PyObject* host_array(ArrayObject* array);
// Begins the transfer that host_array() will need, if it needs one.
void begin_host_copy(ArrayObject* array);
// Forgets what host_array() and begin_host_copy() made.
void drop_host_copies(ArrayObject* array);
// True if the contents can be read where they are: one shard, in host memory, at least a byte an element.
bool in_host_memory(ArrayObject* array);
// A capsule that keeps a buffer alive and in place.
PyRef hold_capsule(BufferRef buffer);
// Throws TypeError if the dtype is an extended one, which has no NumPy form.
void refuse_extended(ArrayObject* array);

PyObject* array_to_numpy(PyObject* self, PyObject* const* args, Py_ssize_t count,
                         PyObject* names);  // __array__
int array_get_buffer(PyObject* self, Py_buffer* view, int flags);

}  // namespace anima
