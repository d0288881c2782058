// 64-byte-aligned host memory, which XLA's CPU client can use in place, and NumPy arrays over it.
//
// Invariant: a block lives until the last of its users (NumPy arrays, device buffers) is gone; giving
// one up needs no GIL. Memory that a device buffer uses is never written again through an array that
// freeze() has seen.
#pragma once

#include <Python.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "array/numpy_api.h"
#include "common/py.h"

namespace anima {

constexpr size_t kAlignment = 64;
constexpr size_t kLargeBlock = 4 << 20;  // bytes; from here on blocks ask for huge pages

class Block {
 public:
  explicit Block(size_t bytes);  // throws std::bad_alloc
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_;
  size_t bytes_;
};
using BlockRef = std::shared_ptr<Block>;

inline bool is_aligned(const void* data) { return reinterpret_cast<size_t>(data) % kAlignment == 0; }

// A dense NumPy array over `data`, of a registered dtype; `base` keeps the data alive. New reference.
PyObject* numpy_over(void* data, const std::vector<int64_t>& dims, PyObject* dtype, PyRef base,
                     bool writeable);
// The same over a whole block.
PyObject* numpy_over_block(BlockRef block, const std::vector<int64_t>& dims, PyObject* dtype, bool writeable);
// The block that the array's memory belongs to, or null if it comes from elsewhere.
BlockRef block_of(PyArrayObject* array);
// Makes the array, and those it is a view of, read-only for good.
void freeze(PyArrayObject* array);

}  // namespace anima
