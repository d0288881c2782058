// What the kernels of eigenvalues, singular values and matrix functions share.
//
// Invariant: LAPACK is never given a matrix with a NaN or an infinity, on which some of its iterations do not
// end: what such a matrix has for a result is NaN throughout.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "linalg/matrices.h"

namespace anima::linalg {

// Schur forms.
template <typename T>
inline const Function<void(char*, char*, void*, int*, T*, int*, int*, T*, T*, T*, int*, T*, int*, int*, int*)>
    gees_real{routine<T>("gees")};
template <typename T>
inline const Function<void(char*, char*, void*, int*, T*, int*, int*, T*, T*, int*, T*, int*, RealOf<T>*,
                           int*, int*)>
    gees_complex{routine<T>("gees")};

// Memory for `size` elements, not initialised.
template <typename T>
std::unique_ptr<T[]> scratch(int64_t size) {
  return std::unique_ptr<T[]>(new T[size > 0 ? size : 1]);
}

template <typename T>
bool all_finite(const T* a, int64_t size) {
  RealOf<T> sum = 0;  // x * 0 is NaN where x is not finite; the loop has no branches
  for (int64_t i = 0; i < size; ++i) {
    if constexpr (kComplex<T>) {
      sum += a[i].real() * 0 + a[i].imag() * 0;
    } else {
      sum += a[i] * 0;
    }
  }
  return sum == 0;
}

// to[j, i] = conj(from[i, j]), both without gaps.
template <typename T>
void adjoint(const T* from, T* to, int64_t rows, int64_t columns) {
  transpose(from, to, rows, columns);
  if constexpr (kComplex<T>) std::transform(to, to + rows * columns, to, conjugate<T>);
}

// The workspaces of a routine: of elements, of real numbers and of integers.
template <typename T>
struct Workspace {
  int size = 1, real_size = 1, integer_size = 1;
  std::unique_ptr<T[]> elements = scratch<T>(1);
  std::unique_ptr<RealOf<T>[]> reals = scratch<RealOf<T>>(1);
  std::unique_ptr<int[]> integers = scratch<int>(1);

  Workspace() = default;
  Workspace(int size, int real_size, int integer_size)
      : size(size),
        real_size(real_size),
        integer_size(integer_size),
        elements(scratch<T>(size)),
        reals(scratch<RealOf<T>>(real_size)),
        integers(scratch<int>(integer_size)) {}
};

// A query is a call with these sizes, after which the first elements of the workspaces have the sizes.
template <typename T>
Workspace<T> query() {
  Workspace<T> asked;
  asked.size = asked.real_size = asked.integer_size = -1;
  asked.elements[0] = T(1);
  asked.reals[0] = 1;
  asked.integers[0] = 1;
  return asked;
}
template <typename T>
Workspace<T> answer(const Workspace<T>& asked) {
  return Workspace<T>(workspace_size(asked.elements[0]), workspace_size(asked.reals[0]), asked.integers[0]);
}

}  // namespace anima::linalg
