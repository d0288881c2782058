// Arrays as rows along one dimension, and rows whose elements do not lie together brought together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/kernel.h"

namespace anima::kernels {

// `outer` times `length` times `inner` elements, of which the middle dimension is the one to work along.
struct Shape3 {
  int64_t outer = 1, length = 1, inner = 1;

  int64_t rows() const { return outer * inner; }
};

inline Shape3 shape_along(const ffi::Buffer& buffer, int64_t axis) {
  Shape3 shape;
  shape.length = dimension(buffer, axis);
  for (int64_t i = 0; i < axis; ++i) shape.outer *= buffer.dims[i];
  for (int64_t i = axis + 1; i < buffer.rank; ++i) shape.inner *= buffer.dims[i];
  return shape;
}

// Calls `body` with a value of a type of this size.
template <typename Body>
void with_width(int64_t width, const Body& body) {
  struct Pair {
    uint64_t a, b;
  };
  switch (width) {
    case 1:
      return body(uint8_t{});
    case 2:
      return body(uint16_t{});
    case 4:
      return body(uint32_t{});
    case 8:
      return body(uint64_t{});
    case 16:
      return body(Pair{});
    default:
      throw KernelError("a kernel was called with elements of " + std::to_string(width) + " bytes");
  }
}

// `columns` neighbouring columns of `length` elements, in steps of `stride`, become rows.
template <typename T>
void columns_to_rows(const T* from, int64_t stride, T* to, int64_t length, int64_t columns) {
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * length + i] = from[i * stride + j];
  }
}

// The inverse.
template <typename T>
void rows_to_columns(const T* from, T* to, int64_t stride, int64_t length, int64_t columns) {
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[i * stride + j] = from[j * length + i];
  }
}

// How many columns are brought together at a time: as many as a cache line holds.
inline int64_t columns_at_once(int64_t width, int64_t inner) {
  return std::min<int64_t>(inner, std::max<int64_t>(64 / width, 1));
}

}  // namespace anima::kernels
