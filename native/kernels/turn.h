// Rows that become columns, in registers.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/clones.h"
#include "kernels/vectors.h"

namespace anima::kernels {

typedef uint64_t Longs __attribute__((vector_size(32)));

// to[j * to_stride + i] = from[i * stride + j] for 8 rows and columns of 32-bit elements.
ANIMA_INLINE void turn_square(const uint32_t* from, int64_t stride, uint32_t* to, int64_t to_stride) {
  Words rows[8], pairs[8], fours[8];
#pragma GCC unroll 8  // or rows go through memory, by halves
  for (int i = 0; i < 8; ++i) std::memcpy(&rows[i], from + i * stride, sizeof rows[i]);
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int k = 0; k < 2; ++k) {
      const Words &a = pairs[i + k], &b = pairs[i + k + 2];
      fours[i + 2 * k] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      fours[i + 2 * k + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; ++i) {
    const Words low = __builtin_shufflevector(fours[i], fours[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    const Words high = __builtin_shufflevector(fours[i], fours[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    std::memcpy(to + i * to_stride, &low, sizeof low);
    std::memcpy(to + (i + 4) * to_stride, &high, sizeof high);
  }
}

// The same for 4 rows and columns of 64-bit elements.
ANIMA_INLINE void turn_square(const uint64_t* from, int64_t stride, uint64_t* to, int64_t to_stride) {
  Longs rows[4], pairs[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) std::memcpy(&rows[i], from + i * stride, sizeof rows[i]);
  for (int i = 0; i < 4; i += 2) {
    pairs[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 4, 2, 6);
    pairs[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 1, 5, 3, 7);
  }
  for (int i = 0; i < 2; ++i) {
    const Longs low = __builtin_shufflevector(pairs[i], pairs[i + 2], 0, 1, 4, 5);
    const Longs high = __builtin_shufflevector(pairs[i], pairs[i + 2], 2, 3, 6, 7);
    std::memcpy(to + i * to_stride, &low, sizeof low);
    std::memcpy(to + (i + 2) * to_stride, &high, sizeof high);
  }
}

// to[j * to_stride + i] = from[i * from_stride + j]
template <typename T>
void turn(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t columns);

}  // namespace anima::kernels
