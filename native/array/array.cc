// Life and death of arrays.
//
// Invariant: every array is in the list of live arrays from make_array() to the start of its
// deallocation. The list needs the GIL.
#include "array/array.h"

#include "array/array_type.h"
#include "array/hooks.h"
#include "array/host_view.h"

namespace anima {
namespace {

ArrayObject* first_live = nullptr;

void link(ArrayObject* array) {
  array->previous = nullptr;
  array->next = first_live;
  if (first_live != nullptr) first_live->previous = array;
  first_live = array;
}

void unlink(ArrayObject* array) {
  if (array->next != nullptr) array->next->previous = array->previous;
  (array->previous != nullptr ? array->previous->next : first_live) = array->next;
}

void release_array(PyObject* self) {
  ArrayObject* array = as_array(self);
  if (array->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  clear_array(self);
  drop_host_copies(array);
  array->transfer.~shared_ptr();
  array->shards.~Shards();
  array->aval.~AvalRef();
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_Del(self);
  Py_DECREF(type);
}

}  // namespace

PyTypeObject* array_type = nullptr;

PyObject* make_array(AvalRef aval, Shards shards, PyObject* sharding, bool committed) {
  ArrayObject* array = PyObject_GC_New(ArrayObject, array_type);
  checked(reinterpret_cast<PyObject*>(array));
  new (&array->aval) AvalRef(std::move(aval));
  new (&array->shards) Shards(std::move(shards));
  new (&array->transfer) std::shared_ptr<HostCopy>();
  array->device = array->shards.empty() ? nullptr : array->shards[0]->device();
  Py_XINCREF(sharding);
  array->sharding = sharding;
  array->host_view = nullptr;
  array->weakrefs = nullptr;
  array->committed = committed;
  link(array);
  // Only a sharding, a Python object, can lead back to the array; the others are kept out of the
  // collector's way.
  if (sharding != nullptr) PyObject_GC_Track(array);
  return reinterpret_cast<PyObject*>(array);
}

void dealloc_array(PyObject* self) {
  ArrayObject* array = as_array(self);
  bool tracked = PyObject_GC_IsTracked(self);
  if (tracked) PyObject_GC_UnTrack(self);
  // Untracked with a sharding: the trashcan has postponed this once, and the array is unlinked already.
  if (tracked || array->sharding == nullptr) unlink(array);
  if (array->sharding == nullptr) return release_array(self);
  Py_TRASHCAN_BEGIN(self, dealloc_array);  // a sharding may hold an array, and so on
  release_array(self);
  Py_TRASHCAN_END;
}

int traverse_array(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_array(self)->sharding);
  Py_VISIT(as_array(self)->host_view);
  return 0;
}

int clear_array(PyObject* self) {
  Py_CLEAR(as_array(self)->sharding);
  return 0;
}

bool is_deleted(ArrayObject* array) {
  if (array->shards.empty()) return true;
  for (const BufferRef& shard : array->shards) {
    if (shard->deleted()) return true;
  }
  return false;
}

void throw_deleted(ArrayObject* array) {
  throw_python(
      error_class(ErrorClass::kDeletedArray),
      "the array of shape %S and dtype %S was deleted, or donated to a computation: its contents are gone",
      array->aval->shape.get(), array->aval->dtype.get());
}

void check_live(ArrayObject* array) {
  if (is_deleted(array)) throw_deleted(array);
}

bool may_donate(ArrayObject* array, long own_references) {
  if (array->shards.empty()) return false;  // deleted meanwhile: others may use the buffers still
  for (const BufferRef& shard : array->shards) {
    if (shard.use_count() > 1 + own_references) return false;
  }
  return true;
}

void delete_array(ArrayObject* array) {
  drop_host_copies(array);
  Shards shards = std::move(array->shards);
  for (BufferRef& shard : shards) {
    if (shard.use_count() == 1) shard->remove();
  }
}

void await_ready(ArrayObject* array) {
  if (array->shards.empty()) throw_deleted(array);
  bool known = true;
  for (const BufferRef& shard : array->shards) known = known && shard->known_ready();
  if (known) return check_live(array);
  Shards shards = array->shards;  // another thread may delete the array during the wait
  try {
    NoGil nogil;
    for (const BufferRef& shard : shards) shard->await_ready();
  } catch (const DeletedError&) {
    throw_deleted(array);
  }
}

BufferRef await_buffer(ArrayObject* array) {
  if (array->shards.empty()) throw_deleted(array);
  BufferRef buffer = array->shards[0];
  await_ready(array);
  return buffer;
}

PyObject* array_sharding(ArrayObject* array) {
  if (array->sharding != nullptr) {
    Py_INCREF(array->sharding);
    return array->sharding;
  }
  if (array->device == nullptr) throw_deleted(array);  // made without a buffer
  return device_sharding(array->device);
}

PyObject* live_arrays() {
  // References first: making the list may run a garbage collection, which may end some of them.
  std::vector<PyRef> found;
  for (ArrayObject* array = first_live; array != nullptr; array = array->next) {
    found.push_back(PyRef::borrow(reinterpret_cast<PyObject*>(array)));
  }
  PyRef list = PyRef::steal(checked(PyList_New(0)));
  for (const PyRef& array : found) {
    if (is_deleted(as_array(array.get()))) continue;
    if (PyList_Append(list.get(), array.get()) < 0) throw PythonError();
  }
  return list.release();
}

}  // namespace anima
