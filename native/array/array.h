// ArrayImpl: the concrete array. One PJRT buffer a shard, an aval, a sharding, committed or not.
//
// Invariant: the contents never change after construction. A deleted or donated array has no
// buffers (`shards` empty) and every use of its data raises DeletedArrayError.
//
// Several arrays may share a buffer (equal scalars, array_with, shards of one array, NumPy views):
// deleting or donating one of them must leave the others whole. So whoever donates asks
// may_donate() and otherwise passes the argument as not donatable; either way the donated array
// gives up its `shards`.
#pragma once

#include <Python.h>

#include <memory>

#include "array/aval.h"
#include "array/shards.h"
#include "pjrt/client.h"

namespace anima {

struct HostCopy;  // a transfer to the host under way (host_view.cc)

struct ArrayObject {
  PyObject_HEAD AvalRef aval;
  Shards shards;        // in the order of the sharding's devices; usually one
  Device* device;       // the first shard's, known also after deletion
  PyObject* sharding;   // null: SingleDeviceSharding of shards[0]'s device, made on request
  PyObject* host_view;  // cached read-only host copy as a numpy array, or null; never a view of
                        // the device's memory, which would keep it from being donated
  std::shared_ptr<HostCopy> transfer;  // what copy_to_host_async() began, or null
  PyObject* weakrefs;
  ArrayObject* previous;  // the list of live arrays
  ArrayObject* next;
  bool committed;
};

extern PyTypeObject* array_type;  // heap type, created by bind_array
inline bool is_array(PyObject* o) { return Py_TYPE(o) == array_type; }
inline ArrayObject* as_array(PyObject* o) { return reinterpret_cast<ArrayObject*>(o); }

// New reference. `sharding` may be null (single device).
PyObject* make_array(AvalRef aval, Shards shards, PyObject* sharding, bool committed);
inline PyObject* make_array(AvalRef aval, BufferRef shard, bool committed) {
  return make_array(std::move(aval), Shards(std::move(shard)), nullptr, committed);
}
// Throws (DeletedArrayError in Python) if the array is deleted or donated.
void check_live(ArrayObject* array);
[[noreturn]] void throw_deleted(ArrayObject* array);
bool is_deleted(ArrayObject* array);
// True if no other array, view or cache uses these buffers, so that their memory may be reused.
// References that the caller itself holds beside the array's must be counted in `own_references`.
bool may_donate(ArrayObject* array, long own_references = 0);
// Waits until every shard is there; throws the error that its computation ended with.
void await_ready(ArrayObject* array);
// The same for an array of one shard, and its buffer: during the wait another thread may delete the array,
// which then has none.
BufferRef await_buffer(ArrayObject* array);
// The sharding; made by the hook on first request for a single device. New reference.
PyObject* array_sharding(ArrayObject* array);
// The live arrays, as a list. New reference.
PyObject* live_arrays();

// Puts a host value on a device: Python bool/int/float/complex (weakly typed; the dtype is the
// canonical one under the current x64 setting), NumPy scalars and arrays (copied; dtypes
// canonicalised). Returns an empty ref if `value` is none of these (no exception set). Throws
// OverflowError naming the value if a Python int does not fit. Equal scalars share one buffer. `copy` says
// how arrays are copied: kCopy or kPassOn.
struct HostValue {
  AvalRef aval;
  BufferRef buffer;
};
HostValue put_host_value(PyObject* value, Device* device, HostSemantics copy = HostSemantics::kCopy);
// The aval that put_host_value would give, without any transfer; null if not a host value.
AvalRef aval_of_host_value(PyObject* value);

}  // namespace anima
