// Rows that become columns, for several generations of processors.
#include "kernels/turn.h"

namespace anima::kernels {
namespace {

template <typename T>
ANIMA_INLINE void turn_any(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows,
                           int64_t columns) {
  int64_t i = 0;
  if constexpr (sizeof(T) == 4) {
    const auto* source = reinterpret_cast<const uint32_t*>(from);
    auto* target = reinterpret_cast<uint32_t*>(to);
    for (; i + 8 <= rows; i += 8) {
      int64_t j = 0;
      for (; j + 8 <= columns; j += 8)
        turn_square(source + i * from_stride + j, from_stride, target + j * to_stride + i, to_stride);
      for (; j < columns; ++j) {
        for (int64_t k = i; k < i + 8; ++k) to[j * to_stride + k] = from[k * from_stride + j];
      }
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
  }
}

ANIMA_CLONES void turn_words(const float* from, int64_t from_stride, float* to, int64_t to_stride,
                             int64_t rows, int64_t columns) {
  turn_any(from, from_stride, to, to_stride, rows, columns);
}
ANIMA_CLONES void turn_words(const double* from, int64_t from_stride, double* to, int64_t to_stride,
                             int64_t rows, int64_t columns) {
  turn_any(from, from_stride, to, to_stride, rows, columns);
}

}  // namespace

template <>
void turn(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows,
          int64_t columns) {
  turn_words(from, from_stride, to, to_stride, rows, columns);
}
template <>
void turn(const double* from, int64_t from_stride, double* to, int64_t to_stride, int64_t rows,
          int64_t columns) {
  turn_words(from, from_stride, to, to_stride, rows, columns);
}

}  // namespace anima::kernels
