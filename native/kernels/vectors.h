// Vectors of 32 bytes, as GCC and Clang have them: operators work on each element, and comparisons give
// masks.
//
// Invariant: loads and stores touch the elements that they say and no others. Vectors are passed by
// reference, since how they are passed by value depends on the processor that a function is compiled for.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/clones.h"

namespace anima::kernels {

struct Bfloat16 {
  uint16_t bits;
};

template <typename T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using Bits = uint32_t;
  static constexpr int kSize = 8;
  typedef float V __attribute__((vector_size(32)));
  typedef int32_t Mask __attribute__((vector_size(32)));
};
template <>
struct VectorOf<double> {
  using Bits = uint64_t;
  static constexpr int kSize = 4;
  typedef double V __attribute__((vector_size(32)));
  typedef int64_t Mask __attribute__((vector_size(32)));
};
typedef uint16_t Halves __attribute__((vector_size(16)));
typedef uint32_t Words __attribute__((vector_size(32)));

// --- single elements ---

template <typename T>
ANIMA_INLINE void load(T* x, const T* p) {
  *x = *p;
}
ANIMA_INLINE void load(float* x, const Bfloat16* p) {
  const uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
  std::memcpy(x, &bits, sizeof bits);
}

template <typename T>
ANIMA_INLINE void store(T* p, T x) {
  *p = x;
}
// Rounded to the nearest, and to the even one of two.
ANIMA_INLINE void store(Bfloat16* p, float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  p->bits = static_cast<uint16_t>(x != x ? (bits >> 16) | 0x40 : rounded);
}

// --- vectors of elements that lie `kStride` apart ---
//
// Those two apart come in an order that takes one instruction to make: the first, the one in the middle, the
// second, ...; `settle` puts them in their own.

template <typename V, int kStride, typename T>
ANIMA_INLINE void load_lanes(V& x, const T* p) {
  static_assert(kStride == 1 || kStride == 2, "other strides are no quicker than single elements");
  std::memcpy(&x, p, sizeof x);
  if constexpr (kStride == 2) {
    V rest;  // not from the element behind the first half on: the one behind the last may not be ours
    std::memcpy(&rest, p + sizeof x / sizeof *p - 1, sizeof rest);
    if constexpr (sizeof x / sizeof *p == 8) {
      x = __builtin_shufflevector(x, rest, 0, 9, 2, 11, 4, 13, 6, 15);
    } else {
      x = __builtin_shufflevector(x, rest, 0, 5, 2, 7);
    }
  }
}

template <int kStride, typename T>
ANIMA_INLINE void load(typename VectorOf<T>::V& x, const T* p) {
  load_lanes<typename VectorOf<T>::V, kStride>(x, p);
}
template <int kStride>
ANIMA_INLINE void load(VectorOf<float>::V& x, const Bfloat16* p) {
  Halves halves;
  load_lanes<Halves, kStride>(halves, p);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  std::memcpy(&x, &words, sizeof words);
}

template <int kStride>
ANIMA_INLINE void settle(VectorOf<float>::V& x) {
  if (kStride == 2) x = __builtin_shufflevector(x, x, 0, 2, 4, 6, 1, 3, 5, 7);
}
template <int kStride>
ANIMA_INLINE void settle(VectorOf<double>::V& x) {
  if (kStride == 2) x = __builtin_shufflevector(x, x, 0, 2, 1, 3);
}

template <typename T>
ANIMA_INLINE void store(T* p, const typename VectorOf<T>::V& x) {
  std::memcpy(p, &x, sizeof x);
}
ANIMA_INLINE void store(Bfloat16* p, const VectorOf<float>::V& x) {
  Words bits;
  std::memcpy(&bits, &x, sizeof bits);
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words result = x != x ? (bits >> 16) | 0x40 : rounded;
  const Halves halves = __builtin_convertvector(result, Halves);
  std::memcpy(p, &halves, sizeof halves);
}

}  // namespace anima::kernels
