#include "array/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace anima {
namespace {

constexpr size_t kPage = 4 << 10;

constexpr const char* kBlockCapsule = "anima.Block";

BlockRef* held_block(PyObject* capsule) {
  return static_cast<BlockRef*>(PyCapsule_GetPointer(capsule, kBlockCapsule));
}

void drop_block(PyObject* capsule) { delete held_block(capsule); }

}  // namespace

Block::Block(size_t bytes) : bytes_(bytes) {
  // aligned_alloc wants a multiple of the alignment; an empty array needs an address too.
  size_t rounded = bytes == 0 ? kAlignment : (bytes + kAlignment - 1) / kAlignment * kAlignment;
  data_ = rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded);
  if (data_ == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  // Filling 128 MB takes 35 ms instead of 65: most of it goes into page faults. A refusal does no harm.
  if (bytes >= kLargeBlock) {
    size_t start = reinterpret_cast<size_t>(data_), first = (start + kPage - 1) / kPage * kPage;
    madvise(reinterpret_cast<void*>(first), (start + rounded - first) / kPage * kPage, MADV_HUGEPAGE);
  }
#endif
}

Block::~Block() { std::free(data_); }

PyObject* numpy_over(void* data, const std::vector<int64_t>& dims, PyObject* dtype, PyRef base,
                     bool writeable) {
  if (dims.size() > NPY_MAXDIMS) {
    throw_python(PyExc_ValueError, "an array of %zu dimensions has no NumPy form: NumPy's limit is %d",
                 dims.size(), NPY_MAXDIMS);
  }
  npy_intp shape[NPY_MAXDIMS];
  for (size_t i = 0; i < dims.size(); ++i) shape[i] = static_cast<npy_intp>(dims[i]);
  Py_INCREF(dtype);  // consumed by the next call
  PyRef array = PyRef::steal(checked(
      PyArray_NewFromDescr(&PyArray_Type, as_descr(dtype), static_cast<int>(dims.size()), shape, nullptr,
                           data, writeable ? NPY_ARRAY_CARRAY : NPY_ARRAY_CARRAY_RO, nullptr)));
  if (PyArray_SetBaseObject(as_numpy(array.get()), base.release()) < 0) throw PythonError();
  return array.release();
}

PyObject* numpy_over_block(BlockRef block, const std::vector<int64_t>& dims, PyObject* dtype,
                           bool writeable) {
  void* data = block->data();
  auto held = std::make_unique<BlockRef>(std::move(block));
  PyRef capsule = PyRef::steal(checked(PyCapsule_New(held.get(), kBlockCapsule, drop_block)));
  held.release();
  return numpy_over(data, dims, dtype, std::move(capsule), writeable);
}

BlockRef block_of(PyArrayObject* array) {
  PyObject* base = as_object(array);
  while (base != nullptr && PyArray_Check(base)) base = PyArray_BASE(as_numpy(base));
  if (base == nullptr || !PyCapsule_IsValid(base, kBlockCapsule)) return nullptr;
  return *held_block(base);
}

void freeze(PyArrayObject* array) {
  PyObject* next = as_object(array);
  while (next != nullptr && PyArray_Check(next)) {
    PyArray_CLEARFLAGS(as_numpy(next), NPY_ARRAY_WRITEABLE);
    next = PyArray_BASE(as_numpy(next));
  }
}

}  // namespace anima
