#include "array/host_view.h"

#include <condition_variable>
#include <mutex>

#include "array/array_type.h"
#include "array/hooks.h"
#include "array/transfers.h"
#include "common/args.h"

namespace anima {

// Shared with the callback that ends the transfer, which may outlive the array.
struct HostCopy {
  enum State { kUnderWay, kComplete, kFailed };
  explicit HostCopy(size_t bytes) : block(std::make_shared<Block>(bytes)) {}
  BlockRef block;
  std::mutex mutex;  // guards `state`
  std::condition_variable changed;
  State state = kUnderWay;
};

namespace {

constexpr const char* kHoldCapsule = "anima.Buffer";

void end_hold(PyObject* capsule) {
  auto* buffer = static_cast<BufferRef*>(PyCapsule_GetPointer(capsule, kHoldCapsule));
  try {
    (*buffer)->unhold();
  } catch (const std::exception&) {
    // The plugin has lost count of its own buffer; a destructor has nobody to tell.
  }
  delete buffer;
}

PyObject* view_in_place(ArrayObject* array) {
  BufferRef buffer = await_buffer(array);
  PyRef hold = hold_capsule(buffer);  // before its address is asked for: from here on it stays there
  const AvalInfo& aval = *array->aval;
  return numpy_over(buffer->unsafe_pointer(), aval.physical_dims, dtype_of_type(aval.type), std::move(hold),
                    false);
}

PyObject* assemble(ArrayObject* array) {
  PyRef function = hook(&Hooks::assemble, "assemble");
  PyRef whole =
      PyRef::steal(checked(PyObject_CallOneArg(function.get(), reinterpret_cast<PyObject*>(array))));
  if (!PyArray_Check(whole.get())) {
    throw_python(PyExc_TypeError, "the array hook assemble must return a numpy array, got %.200s",
                 Py_TYPE(whole.get())->tp_name);
  }
  freeze(as_numpy(whole.get()));
  return whole.release();
}

// The copy of `buffer` that was begun, once it is there; null if there is none, or it failed.
BlockRef finish_transfer(ArrayObject* array, const BufferRef& buffer) {
  std::shared_ptr<HostCopy> transfer = array->transfer;
  if (!transfer) return nullptr;
  NoGil nogil;
  Client::Use use(buffer->client().get());  // throws in a forked child, where the copy would never end
  std::unique_lock<std::mutex> lock(transfer->mutex);
  transfer->changed.wait(lock, [&] { return transfer->state != HostCopy::kUnderWay; });
  return transfer->state == HostCopy::kComplete ? transfer->block : nullptr;
}

// The host reads the memory of a device that shares it: nothing is transferred then.
void announce_to_host(ArrayObject* array) {
  if (!is_host_device(array->shards[0]->device())) announce_transfer("device_to_host", *array->aval, nullptr);
}

PyObject* copy_out(ArrayObject* array) {
  BufferRef buffer = await_buffer(array);
  AvalRef aval = array->aval;
  BlockRef block = finish_transfer(array, buffer);
  if (!block) {
    announce_to_host(array);
    block = std::make_shared<Block>(aval->nbytes);
    NoGil nogil;
    buffer->copy_to_host(block->data(), block->bytes());
  }
  return numpy_over_block(std::move(block), aval->physical_dims, dtype_of_type(aval->type), false);
}

}  // namespace

PyRef hold_capsule(BufferRef buffer) {
  buffer->hold();
  auto held = std::make_unique<BufferRef>(std::move(buffer));
  PyObject* capsule = PyCapsule_New(held.get(), kHoldCapsule, end_hold);
  if (capsule == nullptr) {
    (*held)->unhold();
    throw PythonError();
  }
  held.release();
  return PyRef::steal(capsule);
}

bool in_host_memory(ArrayObject* array) {
  return array->shards.size() == 1 && is_host_device(array->shards[0]->device()) &&
         bits_of(array->aval->type) >= 8;
}

void refuse_extended(ArrayObject* array) {
  if (!array->aval->extended) return;
  throw_python(PyExc_TypeError,
               "an array of dtype %S has no NumPy form: convert it first, e.g. random keys with "
               "random.key_data(key)",
               array->aval->dtype.get());
}

void begin_host_copy(ArrayObject* array) {
  check_live(array);
  if (in_host_memory(array) || array->shards.size() != 1 || array->host_view != nullptr || array->transfer)
    return;
  announce_to_host(array);
  auto copy = std::make_shared<HostCopy>(array->aval->nbytes);
  BufferRef buffer = array->shards[0];
  auto finish = [copy](bool complete) {
    std::lock_guard<std::mutex> lock(copy->mutex);
    copy->state = complete ? HostCopy::kComplete : HostCopy::kFailed;
    copy->changed.notify_all();
  };
  {
    NoGil nogil;
    buffer->begin_copy_to_host(copy->block->data(), copy->block->bytes(), std::move(finish));
  }
  array->transfer = std::move(copy);
}

void drop_host_copies(ArrayObject* array) {
  array->transfer.reset();
  Py_CLEAR(array->host_view);
}

PyObject* host_array(ArrayObject* array) {
  if (array->shards.empty()) throw_deleted(array);
  if (in_host_memory(array)) return view_in_place(array);
  check_live(array);
  if (array->host_view == nullptr) {
    PyRef made = PyRef::steal(array->shards.size() == 1 ? copy_out(array) : assemble(array));
    // Another thread may have been as far in the meantime, or have deleted the array.
    if (array->host_view == nullptr && !array->shards.empty()) array->host_view = made.new_ref();
    array->transfer.reset();
    return made.release();
  }
  Py_INCREF(array->host_view);
  return array->host_view;
}

PyObject* array_to_numpy(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
    static constexpr const char* kNames[] = {"dtype", "copy"};
    PyObject* given[2];
    parse_args("__array__", kNames, 0, CallArgs{args, count, names}, given);
    ArrayObject* array = as_array(self);
    refuse_extended(array);
    bool wants_copy = given[1] == Py_True;
    PyRef view = PyRef::steal(host_array(array));
    PyArrayObject* numpy = as_numpy(view.get());
    if (given[0] != nullptr && given[0] != Py_None) {
      PyArray_Descr* descr = nullptr;
      if (PyArray_DescrConverter(given[0], &descr) == NPY_FAIL) throw PythonError();
      if (!PyArray_EquivTypes(descr, PyArray_DESCR(numpy))) {
        if (given[1] == Py_False) {
          PyRef owner = PyRef::steal(reinterpret_cast<PyObject*>(descr));
          throw_python(PyExc_ValueError,
                       "a view of dtype %S of an array of dtype %S needs a copy, and copy=False "
                       "forbids it",
                       descr, PyArray_DESCR(numpy));
        }
        return checked(PyArray_CastToType(numpy, descr, 0));  // takes the reference to descr
      }
      Py_DECREF(descr);
    }
    return wants_copy ? checked(PyArray_NewCopy(numpy, NPY_CORDER)) : view.release();
  });
}

int array_get_buffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  return guarded(-1, [&] {
    ArrayObject* array = as_array(self);
    if ((flags & PyBUF_WRITABLE) == PyBUF_WRITABLE) {
      throw_python(PyExc_BufferError,
                   "arrays are immutable: ask for a read-only buffer, or copy to NumPy first");
    }
    PyObject* dtype = dtype_of_type(array->aval->type);
    if (array->aval->extended || PyTypeNum_ISUSERDEF(as_descr(dtype)->type_num)) {
      throw_python(PyExc_BufferError, "the buffer protocol has no format for dtype %S: use numpy.asarray",
                   array->aval->dtype.get());
    }
    // The numpy array is what the buffer then belongs to, and keeps the memory alive.
    PyRef numpy = PyRef::steal(host_array(array));
    return checked_status(PyObject_GetBuffer(numpy.get(), view, flags));
  });
}

}  // namespace anima
