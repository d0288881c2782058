// Stacks of matrices, and what kernels that call LAPACK share.
//
// Invariant: arrays are row-major, and LAPACK reads columns: it sees the transpose of each matrix. Most
// kernels choose the routine for the transpose (an LQ factorisation for a QR one, the other triangle, the
// other side), which costs nothing; the others copy with `transpose`.
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <functional>
#include <limits>

#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "linalg/lapack.h"

namespace anima::linalg {

using kernels::Call;
using kernels::data;
using kernels::expect_same_shape;
using kernels::KernelError;

// `count` matrices of rows by columns, one behind the other: the last two dimensions of a buffer.
struct Stack {
  int64_t count = 1;
  int rows = 0, columns = 0;

  int64_t size() const { return static_cast<int64_t>(rows) * columns; }  // of one matrix
  bool empty() const { return count == 0 || size() == 0; }
};
Stack stack_of(const ffi::Buffer& buffer);
Stack squares_of(const ffi::Buffer& buffer);  // throws where matrices are not square
// `count` vectors: the last dimension of a buffer, as matrices of one row.
Stack vectors_of(const ffi::Buffer& buffer);

// Throws unless the stack is as stated.
void expect_stack(const Stack& stack, int64_t count, int64_t rows, int64_t columns);

// `value` as LAPACK takes integers; throws if it is too large.
int to_int(int64_t value);

// Calls `body(i)` for each of `count` matrices. `work` is a rough number of multiplications for one:
// small matrices are divided among XLA's threads, large ones go one after the other, since LAPACK then uses
// its own.
void for_matrices(const Call& call, int64_t count, double work, const std::function<void(int64_t)>& body);

// Calls `body(T())`, T being the buffer's element type: one of the four that LAPACK knows.
template <typename Body>
void with_element_type(const ffi::Buffer& buffer, const Body& body) {
  switch (buffer.type) {
    case ffi::DataType::kF32:
      return body(float());
    case ffi::DataType::kF64:
      return body(double());
    case ffi::DataType::kC64:
      return body(std::complex<float>());
    case ffi::DataType::kC128:
      return body(std::complex<double>());
    default:
      throw KernelError("a kernel for float and complex numbers was called with others");
  }
}

// Calls `body(T())` for a buffer of complex numbers.
template <typename Body>
void with_complex_type(const ffi::Buffer& buffer, const Body& body) {
  buffer.type == ffi::DataType::kC64 ? body(std::complex<float>()) : body(std::complex<double>());
}

// to[j, i] = from[i, j], both without gaps; `from` has so many rows and columns.
template <typename T>
void transpose(const T* from, T* to, int64_t rows, int64_t columns) {
  constexpr int64_t kBlock = 64 / sizeof(T) < 8 ? 8 : 64 / sizeof(T);
  for (int64_t i0 = 0; i0 < rows; i0 += kBlock) {
    const int64_t i1 = i0 + kBlock < rows ? i0 + kBlock : rows;
    for (int64_t j0 = 0; j0 < columns; j0 += kBlock) {
      const int64_t j1 = j0 + kBlock < columns ? j0 + kBlock : columns;
      for (int64_t j = j0; j < j1; ++j) {
        for (int64_t i = i0; i < i1; ++i) to[j * rows + i] = from[i * columns + j];
      }
    }
  }
}

// What stands for a result that does not exist.
template <typename T>
void fill_nan(T* to, int64_t size) {
  const RealOf<T> nan = std::numeric_limits<RealOf<T>>::quiet_NaN();
  for (int64_t i = 0; i < size; ++i) {
    if constexpr (kComplex<T>) {
      to[i] = T(nan, nan);
    } else {
      to[i] = nan;
    }
  }
}

// The size of a workspace from the number in which a query (lwork = -1) returned it.
template <typename T>
int workspace_size(T asked) {
  // A float rounds large sizes, perhaps down.
  double size = std::real(asked);
  if (size > 1 << 24) size *= 1 + 1e-6;
  return to_int(static_cast<int64_t>(size) + 1);
}

// Throws if LAPACK found an argument wrong, which only an error of a kernel's can cause.
void expect_accepted(int info, const char* routine);

// Products of matrices.
template <typename T>
inline const Function<void(char*, char*, int*, int*, int*, T*, T*, int*, T*, int*, T*, T*, int*)> gemm{
    routine<T>("gemm")};

template <typename T>
T conjugate(T x) {
  if constexpr (kComplex<T>) {
    return std::conj(x);
  } else {
    return x;
  }
}

// What pivots and rows are compared by, as LAPACK does it.
template <typename T>
RealOf<T> magnitude(T x) {
  if constexpr (kComplex<T>) {
    return std::abs(x.real()) + std::abs(x.imag());
  } else {
    return std::abs(x);
  }
}

}  // namespace anima::linalg
