// Triangular systems for factorisations, stored by columns: by halves, so that nearly all work is products of
// matrices, which BLAS does at several times the speed of `trsm`.
//
// At the end of the recursion stands the inverse of a small triangle, which is applied as a product, too.
#pragma once

#include <algorithm>
#include <memory>

#include "linalg/matrices.h"

namespace anima::linalg {

constexpr int kTriangle = 16;  // rows of the triangles that are inverted

// Where to divide `n` rows or columns: at a multiple of the smallest size.
inline int half(int n) { return (n / 2 + kTriangle - 1) / kTriangle * kTriangle; }

// A triangle to divide by: lower with a diagonal of ones, or the adjoint of an upper one.
enum class Triangle { kUnitLower, kUpperAdjoint };

// The inverse, lower and without gaps, of a small triangle.
template <Triangle Kind, typename T>
void invert(const T* a, int64_t stride, int n, T* inverse) {
  std::fill(inverse, inverse + n * n, T(0));
  const auto at = [&](int i, int j) {
    return Kind == Triangle::kUnitLower ? a[j * stride + i] : conjugate(a[i * stride + j]);
  };
  for (int j = 0; j < n; ++j) {
    for (int i = j; i < n; ++i) {
      T rest = i == j ? T(1) : T(0);
      for (int k = j; k < i; ++k) rest -= at(i, k) * inverse[j * n + k];
      inverse[j * n + i] = Kind == Triangle::kUnitLower ? rest : rest / at(i, i);
    }
  }
}

// b = a^-1 b for `columns` columns of n numbers. `workspace` holds kTriangle * columns numbers.
template <Triangle Kind, typename T>
void divide(const T* a, int64_t a_stride, int n, T* b, int64_t b_stride, int columns, T* workspace) {
  const int ld_a = to_int(a_stride), ld_b = to_int(b_stride);
  if (n <= kTriangle) {
    T inverse[kTriangle * kTriangle];
    invert<Kind>(a, a_stride, n, inverse);
    for (int j = 0; j < columns; ++j) std::copy(b + j * b_stride, b + j * b_stride + n, workspace + j * n);
    gemm<T>('N', 'N', n, columns, n, T(1), inverse, n, workspace, n, T(0), b, ld_b);
    return;
  }
  const int first = half(n), rest = n - first;
  divide<Kind>(a, a_stride, first, b, b_stride, columns, workspace);
  if (Kind == Triangle::kUnitLower) {
    gemm<T>('N', 'N', rest, columns, first, T(-1), a + first, ld_a, b, ld_b, T(1), b + first, ld_b);
  } else {
    gemm<T>('C', 'N', rest, columns, first, T(-1), a + first * a_stride, ld_a, b, ld_b, T(1), b + first,
            ld_b);
  }
  divide<Kind>(a + first * (a_stride + 1), a_stride, rest, b + first, b_stride, columns, workspace);
}

}  // namespace anima::linalg
