// Rows that become columns, for several generations of processors.
#include "kernels/turn.h"

namespace anima::kernels {
namespace {

template <typename T, typename Word>
ANIMA_INLINE void turn_any(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows,
                           int64_t columns) {
  constexpr int64_t kSide = 32 / sizeof(T);
  int64_t i = 0;
  for (; i + kSide <= rows; i += kSide) {
    int64_t j = 0;
    for (; j + kSide <= columns; j += kSide) {
      turn_square(reinterpret_cast<const Word*>(from) + i * from_stride + j, from_stride,
                  reinterpret_cast<Word*>(to) + j * to_stride + i, to_stride);
    }
    for (; j < columns; ++j) {
      for (int64_t k = i; k < i + kSide; ++k) to[j * to_stride + k] = from[k * from_stride + j];
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
  }
}

ANIMA_CLONES void turn_words(const float* from, int64_t from_stride, float* to, int64_t to_stride,
                             int64_t rows, int64_t columns) {
  turn_any<float, uint32_t>(from, from_stride, to, to_stride, rows, columns);
}
ANIMA_CLONES void turn_words(const double* from, int64_t from_stride, double* to, int64_t to_stride,
                             int64_t rows, int64_t columns) {
  turn_any<double, uint64_t>(from, from_stride, to, to_stride, rows, columns);
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
